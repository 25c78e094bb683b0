"""`accelsim demo`: the whole job on the network that comes with accelsim."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from accelsim.compression.describe import Inspection, inspect
from accelsim.compression.layer import CompressedNetwork
from accelsim.compression.loading import load
from accelsim.errors import InputError
from accelsim.files import make_folder
from accelsim.network.bundled import bundled_traces
from accelsim.network.npz import read_arrays
from accelsim.report.comparison import comparison_sections, rows_of
from accelsim.report.figures import draw_pe_balance
from accelsim.report.page import Section, write_page
from accelsim.report.sweeping import write_sweep
from accelsim.report.tables import comparison_table, inspection_table, layers_table
from accelsim.simulation.result import Result
from accelsim.study.compare import Comparison, compare
from accelsim.study.sweep import sum_over_layers, sweep

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

NETWORK = "lenet-300-100"
SWEEP_PES = [1, 2, 4, 8, 16, 32, 64, 128, 256]


def demo(
    out: str | Path = "reports/demo",
    *,
    measure: bool = True,
    console: "Console | None" = None,
) -> Path:
    """Inspect, simulate, compare and sweep LeNet-300-100 on ten drawn digits; write a report.

    Prints the tables to `console` (default: the terminal) and returns the path of the page.
    """
    from rich.console import Console

    console = console or Console()
    folder = Path(out)
    make_folder(folder)
    network, digits, labels = _network_and_digits()
    described = inspect(network)
    comparison = compare(network, activations=digits, measure=measure)
    result = next(iter(comparison.results.values()))
    right = int((result.outputs_fixed.raw.argmax(axis=-1) == labels).sum())
    frame = sweep(network, activations=digits, pes=SWEEP_PES)

    console.rule("[bold]1. The network, compressed")
    console.print(inspection_table(described))
    console.rule("[bold]2. Simulated on eie-64: ten drawn digits, 64 PEs at 800 MHz")
    console.print(layers_table(result))
    for note in comparison.notes:
        console.print(f"note: {note}", soft_wrap=True)
    console.print(f"The machine's 16-bit arithmetic reads {right} of {len(labels)} digits right.")
    console.rule("[bold]3. Weights in SRAM against weights in DRAM, per digit")
    console.print(comparison_table(rows_of(comparison)))
    page = write_page(
        folder / "index.html",
        "LeNet-300-100 on an on-chip-SRAM accelerator",
        _lead(described, comparison, right, len(labels)),
        [
            *comparison_sections(comparison, folder),
            _balance(result, folder),
            _scaling(frame, folder),
        ],
        provenance=result.provenance,
    )
    console.rule("[bold]Where to go next")
    console.print(_next_steps(page), soft_wrap=True, highlight=False)
    return page


def _network_and_digits() -> tuple[CompressedNetwork, "np.ndarray", "np.ndarray"]:
    """The bundled artifact and the ten drawn digits: float32[10, 784] and their labels int64[10]."""
    network = load(NETWORK)
    trace = bundled_traces().get(NETWORK)
    if not isinstance(network, CompressedNetwork) or trace is None:
        raise InputError(f"{NETWORK}: its artifact or trace is missing: install accelsim again")
    arrays = read_arrays(trace)
    return network, arrays["inputs"], arrays["labels"]


def _lead(described: Inspection, comparison: Comparison, right: int, n: int) -> str:
    whole = rows_of(comparison).set_index("system")
    on_chip, *_, from_dram = comparison.results
    sram, dense = whole.loc[on_chip], whole.loc[from_dram]
    return (
        f"Trained on MNIST, pruned and stored with 4-bit shared weights, the network takes "
        f"{described.size_bytes:,} bytes instead of {described.dense_bytes:,} "
        f"({described.compression_ratio:.1f} times smaller, everything counted). On chip, an inference "
        f"takes {sram['latency_us']:.2f} µs and {sram['energy_uj']:.3f} µJ; the same "
        f"machine fetching dense weights from DRAM takes {dense['latency_ratio']:.0f} times as long and "
        f"{dense['energy_ratio']:.0f} times the energy. It reads {right} of {n} drawn digits right."
    )


def _balance(result: Result, folder: Path) -> Section:
    figure = draw_pe_balance(result.pes, folder / "balance.png")
    return Section(
        "How evenly the PEs work",
        "A PE that has fewer weights in a column waits for the others when its queue is empty.",
        [("Layers", result.layers)],
        [("Busy and starved cycles per PE", figure)],
    )


def _scaling(frame: "pd.DataFrame", folder: Path) -> Section:
    figure = write_sweep(frame, ["pes"], folder)
    return Section(
        "How many PEs",
        "More PEs finish sooner until there is too little work in a column for each of them; past the "
        "knee they mostly look columns up in vain. Every SRAM is sized to what the network needs.",
        [("Ten digits, by number of PEs", sum_over_layers(frame, ["pes"]))],
        [("Cycles, utilisation, energy and area", figure)],
    )


def _next_steps(page: Path) -> str:
    return f"""The report with figures: {page}
  your own network      accelsim compress model.onnx --density 0.1 -o model.safetensors
  run it                accelsim simulate model.safetensors --set pes=32
  against DRAM and CPU  accelsim compare model.safetensors --out reports/model
  how many PEs          accelsim sweep model.safetensors -v pes=16,32,64,128 -v queue_depth=4,8,16
  a larger example      accelsim compare alexnet_fc --no-measure
The machine: docs/machine.md; the guide: docs/guide.md."""
