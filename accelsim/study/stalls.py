"""The stall report: which PE and which columns hold the array back, and what every PE did meanwhile.

Tables are pandas DataFrames; every function takes the traced layers and gives one table for all.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from accelsim.study.layer_trace import LayerTrace, State

if TYPE_CHECKING:
    import pandas as pd

# Columns of `pe_table` that split the array cycles of each PE.
STATE_COLUMNS = {
    State.BUSY: "busy_cycles",
    State.EMPTY: "empty_column_cycles",
    State.ROW_WAIT: "row_wait_cycles",
    State.ARBITRATION: "arbitration_cycles",
    State.NO_BROADCAST: "starved_scan_cycles",
    State.STALLED: "starved_stall_cycles",
    State.DONE: "end_wait_cycles",
}


def layer_table(layers: Sequence[LayerTrace]) -> "pd.DataFrame":
    """One row per layer: what stalls and the wait for the last PE cost it.

    stall_cycles: a broadcast was ready and a queue was full; of these
        late_pe_stall_cycles while a PE was at work on an earlier column (`pe_table`, `column_table`),
        depth_stall_cycles because a queue of depth 2 holds a single item, whoever is late
    end_wait_cycles: from the first PE that is done for good to the last, in which PEs stand idle
    end_wait_pe_cycles: summed over the PEs that wait
    load_balance_frac: mean over maximum of the PEs' entries
    """
    import pandas as pd

    return pd.DataFrame([_layer_row(layer) for layer in layers])


def pe_table(layers: Sequence[LayerTrace]) -> "pd.DataFrame":
    """One row per layer and PE, those that stall the array the most first within each layer.

    stall_cycles_caused: broadcast stalls while this PE's queue was the last to have room; their sum is
        the layer's late_pe_stall_cycles
    stalls_caused: broadcasts that it delayed
    starved_pe_cycles_caused: cycles that all PEs together stood idle because of these stalls
    entries, entries_over_mean_frac: this PE's entries, and how far they are above the mean PE's
    The other columns say what this PE did: busy, empty columns, waiting for a weight row or a shared
    decoder, starved by the scan or by a stall, done and waiting for the last PE.
    """
    import pandas as pd

    return pd.concat([_pe_rows(layer) for layer in layers], ignore_index=True)


def column_table(layers: Sequence[LayerTrace]) -> "pd.DataFrame":
    """One row per layer, PE and column that held a broadcast up, the worst first within each layer.

    column: number of the input; that of the bias is one more than the last input's
    entries: of the column in this PE; mean_entries: over all PEs; max_entries: of the fullest PE
    stall_cycles_caused: broadcast stalls while the PE, last to have room, was at work on this column.
        Their sum is the layer's late_pe_stall_cycles. Columns before it may have filled the queue.
    starved_pe_cycles_caused: cycles that all PEs together stood idle because of these stalls
    """
    import pandas as pd

    tables = [_column_rows(layer) for layer in layers]
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def _layer_row(layer: LayerTrace) -> dict[str, Any]:
    entries = layer.entries.sum(axis=0)
    waits = np.maximum(layer.last_end - layer.free, 0)
    return {
        "layer": layer.name,
        "vector": layer.label.vector,
        "vectors": layer.label.vectors,
        "column_block": layer.label.block,
        "column_blocks": layer.label.blocks,
        "pes": layer.pes,
        "array_cycles": layer.array_cycles,
        "broadcasts": int(layer.columns.size),
        "stall_cycles": int(layer.stalls.sum()),
        "late_pe_stall_cycles": int(layer.late_stalls.sum()),
        "depth_stall_cycles": int(layer.depth_stalls.sum()),
        "starved_pe_cycles": int(sum(part.sum() for part in layer.starved)),
        "starved_by_stall_pe_cycles": int(layer.starved[1].sum()),
        "end_wait_cycles": int(waits.max(initial=0)),
        "end_wait_pe_cycles": int(waits.sum()),
        "last_pe": int(np.argmax(layer.free)),
        "entries": int(entries.sum()),
        "load_balance_frac": float(entries.mean() / entries.max()) if entries.any() else 1.0,
    }


def _pe_rows(layer: LayerTrace) -> "pd.DataFrame":
    import pandas as pd

    late = layer.late_stalls > 0
    blocker = layer.blocked_by[late]
    entries = layer.entries.sum(axis=0)
    mean = entries.mean()
    table = pd.DataFrame(
        {
            "layer": layer.name,
            "pe": np.arange(layer.pes),
            "stall_cycles_caused": _sum_by(blocker, layer.late_stalls[late], layer.pes),
            "stalls_caused": _sum_by(blocker, late[late], layer.pes),
            "starved_pe_cycles_caused": _sum_by(blocker, _idle_by_late(layer)[late], layer.pes),
            "entries": entries,
            "entries_over_mean_frac": entries / mean - 1 if mean else np.zeros(layer.pes),
            "padding_entries": layer.padding.sum(axis=0),
            **state_cycles(layer),
        }
    )
    return table.sort_values(
        ["stall_cycles_caused", "entries"], ascending=False, kind="stable", ignore_index=True
    )


def state_cycles(layer: LayerTrace) -> dict[str, Any]:
    """int64[P] cycles of each PE in each state, by column name of `pe_table`."""
    cycles = {
        STATE_COLUMNS[spans.state]: _sum_by(spans.pe, spans.end - spans.first, layer.pes)
        for spans in layer.spans()
    }
    inside = layer.inner_waits.sum(axis=0)
    cycles[STATE_COLUMNS[State.BUSY]] -= inside
    cycles[STATE_COLUMNS[State.ROW_WAIT]] += inside
    return {name: cycles[name] for name in STATE_COLUMNS.values()}


def _column_rows(layer: LayerTrace) -> "pd.DataFrame":
    import pandas as pd

    late = np.flatnonzero(layer.late_stalls)
    item, pe = layer.blocking_item[late], layer.blocked_by[late]
    of_item = layer.entries[item]
    table = pd.DataFrame(
        {
            "layer": layer.name,
            "column": layer.columns[item],
            "pe": pe,
            "entries": of_item[np.arange(item.size), pe],
            "mean_entries": of_item.mean(axis=1),
            "max_entries": of_item.max(axis=1, initial=0),
            "stall_cycles_caused": layer.late_stalls[late],
            "stalls_caused": 1,
            "starved_pe_cycles_caused": _idle_by_late(layer)[late],
        }
    )
    sums = ["stall_cycles_caused", "stalls_caused", "starved_pe_cycles_caused"]
    keys = [name for name in table.columns if name not in sums]
    # A column delays several broadcasts if the scan finds them while a PE is still at work on it.
    grouped = table.groupby(keys, sort=False, as_index=False)[sums].sum()
    return grouped.sort_values(
        "stall_cycles_caused", ascending=False, kind="stable", ignore_index=True
    )


def _idle_by_late(layer: LayerTrace) -> Any:
    """int64[n]: PE-cycles starved by each stall, less those that the queue's depth costs anyway."""
    waited = sum(layer.starved)
    return np.minimum(waited, layer.late_stalls[:, None]).sum(axis=1)


def _sum_by(index: Any, weights: Any, size: int) -> Any:
    total = np.zeros(size, dtype=np.int64)
    np.add.at(total, index, np.asarray(weights, dtype=np.int64))
    return total
