"""EIE's design space: Figures 8 (queue), 9 (row width), 11 (speed-up), 12 (padding) and 13 (balance)."""

from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.baseline.printed import stated
from accelsim.hardware.accelerator import Accelerator
from accelsim.hardware.technology import technology
from accelsim.simulation.counting import LayerRun
from accelsim.study.reproduce.chapters import Chapter, Compared
from accelsim.study.reproduce.eie.runs import Bench, Runs, Tell, measures, run_layer

if TYPE_CHECKING:
    import pandas as pd

DEPTHS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ROW_BITS = (32, 64, 128, 256, 512)
PES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
ROW_WIDTH_LAYERS = ("Alex-6", "Alex-7", "Alex-8")
SHAPE = "the paper draws this and prints no number"


def figure_8(runs: Runs, tell: Tell) -> Chapter:
    """Load balance against the depth of the activation queues, 64 PEs."""
    rows = []
    for index, bench in enumerate(runs.benches):
        tell(f"Figure 8: {bench.name}", index / len(runs.benches))
        for depth in DEPTHS:
            row = {"layer": bench.name, "fifo_depth": depth}
            rows.append(row | _queued(bench, runs.machine, depth))
    frame = _frame(rows)
    chosen = int(stated("fifo_depth"))
    mean = frame.groupby("fifo_depth").balance_bubbles_pct.mean()
    note = f"mean of the nine layers; {SHAPE}"
    compared = [
        Compared(
            "Figure 8",
            "FIFO depth 1",
            "idle cycles (%)",
            stated("idle_at_fifo_depth_1_pct"),
            100 - mean[1],
            "read from the text: around half; ours: mean of the nine layers, in lock-step",
        ),
        *(
            Compared("Figure 8", f"FIFO depth {depth}", "load balance (%)", None, mean[depth], note)
            for depth in DEPTHS
        ),
        _gain(mean, DEPTHS[0], chosen, "up to the chosen depth"),
        _gain(mean, chosen, DEPTHS[-1], "beyond it"),
    ]
    return Chapter(
        "figure_8",
        "Figure 8: load balance against queue depth",
        tuple(compared),
        frame,
        _queue_text(frame),
    )


def figure_9(runs: Runs, tell: Tell) -> Chapter:
    """Energy of reading the weights against the width of a row, AlexNet's layers."""
    rows = []
    benches = [bench for bench in runs.benches if bench.name in ROW_WIDTH_LAYERS]
    for index, bench in enumerate(benches):
        tell(f"Figure 9: {bench.name}", index / len(benches))
        for row_bits in ROW_BITS:
            machine = runs.machine.replace(row_bits=row_bits)
            ran = run_layer(bench.session, machine)
            rows.append({"layer": bench.name, "row_bits": row_bits} | _reading(ran, machine))
    frame = _frame(rows)
    best = best_widths(frame)
    chosen = stated("row_bits")
    where = "width of least read energy (bits)"
    compared = (
        Compared(
            "Figure 9",
            "every column reads its rows",
            where,
            chosen,
            best["energy_per_column_nj"],
            "a row that two columns share is read for each of them",
        ),
        Compared(
            "Figure 9",
            "a row stays for the next column",
            where,
            chosen,
            best["energy_row_kept_nj"],
            "as accelsim and the EIE authors' simulator count",
        ),
    )
    return Chapter(
        "figure_9",
        "Figure 9: read energy against row width",
        compared,
        frame,
        _width_text(frame, best),
    )


def best_widths(frame: "pd.DataFrame") -> dict[str, float]:
    """The row width of least energy over the layers, by the column that counts it."""
    total = frame.groupby("row_bits")[["energy_per_column_nj", "energy_row_kept_nj"]].sum()
    return {str(name): float(total.index.to_numpy()[total[name].argmin()]) for name in total}


def scaling(runs: Runs, tell: Tell) -> "pd.DataFrame":
    """Figures 11 to 13: each layer on 1 to 256 PEs."""
    rows = []
    for index, bench in enumerate(runs.benches):
        tell(f"Figures 11 to 13: {bench.name}", index / len(runs.benches))
        alone = None
        for pes in PES:
            bench.session.forget_layouts()
            machine = runs.machine.replace(pes=pes)
            counts = measures(run_layer(bench.session, machine), machine)
            alone = alone or counts["cycles"]
            speedup = alone / counts["cycles"]
            rows.append(
                {
                    "layer": bench.name,
                    "pes": pes,
                    "cycles": counts["cycles"],
                    "speedup": speedup,
                    "efficiency_pct": 100 * speedup / pes,
                    "real_work_pct": 100 * (1 - counts["padding_entries"] / counts["entries"]),
                }
                | _balance(counts, machine)
            )
        bench.session.forget_layouts()
    return _frame(rows)


def figure_11(runs: Runs, frame: "pd.DataFrame") -> Chapter:
    """Speed-up over one PE."""
    columns = ["layer", "pes", "cycles", "speedup", "efficiency_pct"]
    last = frame[frame.pes == PES[-1]].set_index("layer").speedup
    at_64 = frame[frame.pes == 64].set_index("layer").speedup
    compared = [
        Compared("Figure 11", name, f"speed-up on {pes} PEs", None, speedups[name], SHAPE)
        for name in last.index
        for pes, speedups in ((64, at_64), (PES[-1], last))
    ]
    least = runs.bench(str(last.idxmin())).published
    per_pe = least.n_out * least.weight_density_frac / 64
    text = (
        "Cycles on one PE over cycles on so many. The published shape: close to linear, except for NT-We. "
        f"Ours: on 64 PEs the layers reach {at_64.drop('NT-We').min():.0f} to "
        f"{at_64.drop('NT-We').max():.0f}, NT-We {at_64['NT-We']:.0f}; on {PES[-1]}, "
        f"{last.drop('NT-We').min():.0f} to {last.drop('NT-We').max():.0f} and {last['NT-We']:.0f}. The "
        f"least, {least.name}, has columns of {least.n_out} rows, {100 * least.weight_density_frac:.0f} % "
        f"of them kept: on 64 PEs that is {per_pe:.2f} weights per PE and column, so that most PEs wait "
        "for those that have two or three.\n\n"
        "Above linear are the sparsest layers, because more PEs need fewer padding entries (Figure 12)."
    )
    return Chapter(
        "figure_11",
        "Figure 11: speed-up against PEs",
        tuple(compared),
        frame[columns],
        text,
    )


def figure_12(frame: "pd.DataFrame") -> Chapter:
    """Real work over all work, padding included."""
    compared = [
        Compared(
            "Figure 12",
            str(row["layer"]),
            f"real work on {row['pes']} PEs (%)",
            None,
            float(row["real_work_pct"]),
            SHAPE,
        )
        for row in frame[frame.pes.isin((1, 64, PES[-1]))].to_dict("records")
    ]
    sparsest = frame[frame.layer == "VGG-6"].set_index("pes").real_work_pct
    text = (
        "Entries that are not padding, of all. A run of zeros longer than 15 costs a padding entry; rows "
        "are dealt out to the PEs in turn, so the more PEs, the nearer in a PE's slice are two weights of "
        f"a column. For the sparsest layer, VGG-6, real work rises from {sparsest[1]:.0f} % on one PE to "
        f"{sparsest[64]:.0f} % on 64 and {sparsest[PES[-1]]:.0f} % on {PES[-1]}."
    )
    return Chapter(
        "figure_12",
        "Figure 12: padding zeros against PEs",
        tuple(compared),
        frame[["layer", "pes", "real_work_pct"]],
        text,
    )


def figure_13(frame: "pd.DataFrame") -> Chapter:
    """Load balance by both of the paper's definitions."""
    compared = [
        Compared(
            "Figure 13",
            str(row["layer"]),
            f"load balance on {row['pes']} PEs (%)",
            None,
            float(row["balance_bubbles_pct"]),
            f"bubbles over all cycles, as Figure 8; {SHAPE}",
        )
        for row in frame[frame.pes.isin((64, PES[-1]))].to_dict("records")
    ]
    at_64 = frame[frame.pes == 64].set_index("layer")
    stalled = str(at_64.index.to_numpy()[at_64.balance_stalls_pct.argmin()])
    text = (
        "The paper defines load balance in two ways: beside Figure 8 as one less bubbles (a PE without "
        "work) over all cycles, in the caption of Figure 13 by stalled cycles. Both are in the table. "
        "Stalls in the sense of broadcasts that wait for a full queue say little of balance: where "
        "columns have several entries per PE, broadcasts must wait however even the work is. On 64 PEs "
        f"that reading would call {stalled} the worst balanced ({at_64.balance_stalls_pct.min():.0f} %), "
        f"while by bubbles it has {at_64.balance_bubbles_pct[stalled]:.0f} %. The picture shows "
        "bubbles.\n\n"
        f"Balance falls with the number of PEs, as each has fewer entries of a column: {_least(frame)}. A "
        "PE that finds no entry in a column spends a cycle on it and is not starved meanwhile, which is "
        "what NT-We does most of the time on many PEs: its balance rises again although its speed-up does "
        "not."
    )
    return Chapter(
        "figure_13",
        "Figure 13: load balance against PEs",
        tuple(compared),
        frame[["layer", "pes", "balance_bubbles_pct", "balance_stalls_pct"]],
        text,
    )


def _balance(counts: dict[str, Any], machine: Accelerator) -> dict[str, Any]:
    """Figure 8's definition: bubbles (starved cycles) over all; Figure 13's caption: stalled cycles."""
    cycles = counts["cycles"]
    return {
        "balance_bubbles_pct": 100 * (1 - counts["starved_cycles"] / (cycles * machine.pes)),
        "balance_stalls_pct": 100 * (1 - counts["stall_cycles"] / cycles),
        "time_us": counts["time_us"],
    }


def _queued(bench: Bench, machine: Accelerator, depth: int) -> dict[str, Any]:
    if depth == 1:
        return _balance(lock_step(run_layer(bench.session, machine), machine), machine)
    deep = machine.replace(queue_depth=depth)
    return _balance(measures(run_layer(bench.session, deep), deep), deep)


def lock_step(ran: LayerRun, machine: Accelerator) -> dict[str, Any]:
    """Cycles if each broadcast waits until every PE is done with the one before; counts as `measures`.

    A PE spends a cycle on a column without entries, as the machine does.
    """
    service = np.maximum(np.asarray(ran.decoded.plan.entries, dtype=np.int64), 1)
    cycles = int(service.max(axis=1) @ ran.run.broadcast_counts)
    busy = int(service.sum(axis=1) @ ran.run.broadcast_counts)
    return {
        "cycles": cycles,
        "time_us": cycles * machine.cycle_us,
        "starved_cycles": cycles * machine.pes - busy,
        "stall_cycles": cycles - ran.run.broadcasts,
    }


def _gain(mean: Any, low: int, high: int, what: str) -> Compared:
    return Compared(
        "Figure 8",
        f"FIFO depth {low} to {high}",
        "gain in load balance (points)",
        None,
        mean[high] - mean[low],
        f"{what}: the text has diminishing returns beyond {int(stated('fifo_depth'))}",
    )


def _reading(ran: LayerRun, machine: Accelerator) -> dict[str, Any]:
    """Rows read, counted both ways, and what they cost at EIE's capacity."""
    macro = technology(machine.technology).sram_macro(machine.weight_sram_bytes, machine.row_bits)
    kept, anew = int(ran.run.row_reads.sum()), row_reads_per_column(ran, machine)
    return {
        "read_energy_pj": macro.read_energy_pj,
        "reads_row_kept": kept,
        "reads_per_column": anew,
        "energy_row_kept_nj": kept * macro.read_energy_pj / 1e3,
        "energy_per_column_nj": anew * macro.read_energy_pj / 1e3,
        "entries_per_column": ran.run.entries.sum() / ran.run.broadcasts / machine.pes,
    }


def row_reads_per_column(ran: LayerRun, machine: Accelerator) -> int:
    """Rows that all PEs read if each column reads its own, also one that the buffer still holds.

    Entries lie one after another, whole in a row; a PE's columns follow each other.
    """
    entries = np.asarray(ran.decoded.plan.entries, dtype=np.int64)
    end = np.cumsum(entries, axis=0)
    per_row = machine.row_bits // machine.entry_bits
    rows = np.where(entries > 0, (end - 1) // per_row - (end - entries) // per_row + 1, 0)
    return int((rows.sum(axis=1) * ran.run.broadcast_counts).sum())


def _queue_text(frame: "pd.DataFrame") -> str:
    mean = frame.groupby("fifo_depth").balance_bubbles_pct.mean()
    chosen = int(stated("fifo_depth"))
    one = frame[frame.fifo_depth == 1].balance_bubbles_pct
    return (
        "One less the cycles in which a PE has nothing to do, over all cycles.\n\n"
        "**What depth means.** A queue of `queue_depth` slots keeps one free, here as in the EIE authors' "
        "simulator, and the broadcast that a PE works on has left the queue: as many broadcasts are under "
        "way as there are slots. So depth 1, which the paper draws and no such queue can have, is "
        "lock-step: the next broadcast comes when all PEs are done with this one. Its cycles are added "
        f"up, not simulated. Then {100 - mean[1]:.0f} % of the cycles are idle in the mean of the nine "
        f"layers ({100 - one.max():.0f} to {100 - one.min():.0f} %), where the paper says around "
        f"{stated('idle_at_fifo_depth_1_pct'):.0f} %. With one item waiting beside the one in work (depth "
        f"2) it is {100 - mean[2]:.0f} %.\n\n"
        f"From depth 1 to {chosen} the balance gains {mean[chosen] - mean[1]:.1f} points, from {chosen} to "
        f"{DEPTHS[-1]} {mean[DEPTHS[-1]] - mean[chosen]:.1f}: the diminishing returns that the paper "
        "describes."
    )


def _width_text(frame: "pd.DataFrame", best: dict[str, float]) -> str:
    total = frame.groupby("row_bits")[["energy_per_column_nj", "energy_row_kept_nj"]].sum()
    per_read = frame.groupby("row_bits").read_energy_pj.first()
    entries = frame.groupby("layer", sort=False).entries_per_column.first()
    column, kept = total.energy_per_column_nj / 1e3, total.energy_row_kept_nj / 1e3
    agree = best["energy_row_kept_nj"] == best["energy_per_column_nj"]
    return (
        "Energy per read (128 KB, by the machine's technology) times reads, over the three layers of "
        f"AlexNet. Wider rows are read less often, and cost more: {per_read[ROW_BITS[0]]:.1f} pJ for "
        f"{ROW_BITS[0]} bits, {per_read[ROW_BITS[-1]]:.1f} pJ for {ROW_BITS[-1]}.\n\n"
        "**How reads are counted decides.** If every column reads the rows in which its entries lie, "
        f"{best['energy_per_column_nj']:.0f} bits are best, as published: {column[64]:.1f} µJ, against "
        f"{column[32]:.1f} for 32 bits and {column[128]:.1f} for 128. A column has {entries.min():.1f} to "
        f"{entries.max():.1f} entries per PE, which is what a row of 64 bits holds (8); of wider rows most "
        "would be read in vain.\n\n"
        "But a row that stays in the PE's buffer until another is read serves the next active column, "
        "too, if its entries lie there. So accelsim counts, and so do the reads that the EIE authors' "
        "simulator reports. Then "
        + (
            f"{best['energy_row_kept_nj']:.0f} bits are best, too."
            if agree
            else "wide rows are not in vain, and with these energies "
            f"{best['energy_row_kept_nj']:.0f} bits take the least: {kept[best['energy_row_kept_nj']]:.1f} "
            f"µJ, against {kept[64]:.1f} for 64. That the paper finds its minimum at 64 bits fits the "
            "first count. Row buffers and the multiplexers behind them, which grow with the width, are in "
            "neither."
        )
    )


def _least(frame: "pd.DataFrame") -> str:
    rows = frame[frame.pes.isin((4, 64, PES[-1]))].groupby("pes").balance_bubbles_pct
    return ", ".join(f"{mean:.0f} % in the mean on {pes} PEs" for pes, mean in rows.mean().items())


def _frame(rows: list[dict[str, Any]]) -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame(rows)
