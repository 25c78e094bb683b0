"""What Huffman decoding on chip costs and buys: decoders.csv, picture and tables of docs/decoders.md.

Run with `make reference`. Real data come from the folder in ACCELSIM_DATA, by default ../shared/data
(CONTRIBUTING.md says what is in it).
"""

import os
from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import decoders_page
import pandas as pd

from accelsim.hardware.accelerator import Accelerator, accelerator
from accelsim.hardware.decoders import unit_for_all
from accelsim.report.figures import draw_decoders
from accelsim.simulation.network import open_session
from accelsim.simulation.result import Result
from accelsim.simulation.session import Session

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
DATA = Path(os.environ.get("ACCELSIM_DATA") or ROOT.parent / "shared" / "data")
CSV = HERE / "decoders.csv"
PICTURE = ROOT / "docs" / "images" / "decoders.png"

DESIGNS = ("bit_serial", "one_symbol", "pair", "two_level", "multi_symbol")
DECODING = ("Huffman tables", "decoder shifter")


class Case(NamedTuple):
    """A network, where it is, and what the machine needs to run it.

    joint_length: limit of the words of a joint alphabet; there are more pairs than symbols
    """

    name: str
    path: str | Path
    fields: dict[str, Any]
    joint_length: int


NETWORKS = (
    Case("AlexNet FC8", DATA / "alexnet_fc8.npz", {}, 11),
    Case("LeNet-300-100", "lenet-300-100", {}, 11),
    Case("SqueezeNet", DATA / "squeezenet" / "compressed_SqueezeNet.net", {"code_bits": 8}, 13),
)


def machines(case: Case) -> list[tuple[str, dict[str, Any]]]:
    """Every machine that the network runs on: the part of the study that it belongs to, and fields."""
    parts = {
        "placement": placements(),
        "variant": variants(case.joint_length),
        "streaming": streaming(),
        "sources": sources(case.joint_length),
    }
    return [(part, fields) for part, several in parts.items() for fields in several]


def placements() -> list[dict[str, Any]]:
    """Every design in every placement with every alignment, after fixed entries."""
    fixed = [{"decoder": "fixed", "column_alignment": to} for to in ("bit", "row")]
    any_of_three = ("bit", "byte", "row")
    alignments = {"inline": any_of_three, "shared": any_of_three, "load": ("bit", "row")}
    return fixed + [
        huffman(design, decoder_placement=placement, column_alignment=alignment)
        for placement, aligned in alignments.items()
        for design, alignment in product(DESIGNS, aligned)
    ]


def variants(joint_length: int) -> list[dict[str, Any]]:
    """Alphabets, sub-streams and multipliers, in each PE and without alignment."""
    joint = {"huffman_alphabet": "joint", "max_code_length": joint_length}
    one_by_one = ("bit_serial", "one_symbol")
    return [
        *[huffman(design, **joint) for design in DESIGNS],
        *[huffman("bit_serial", bits_per_cycle=bits) for bits in (2, 4)],
        *[huffman(design, sub_streams=s) for design in one_by_one for s in (2, 4)],
        *[{"decoder": "fixed", "multipliers": m} for m in (2, 4)],
        *[huffman("pair", sub_streams=m, multipliers=m) for m in (2, 4)],
        huffman("multi_symbol", multipliers=2),
        huffman("multi_symbol", multipliers=4, window_bits=16, entries_per_cycle=4),
    ]


def streaming() -> list[dict[str, Any]]:
    """Weights from DRAM for every input: fixed, decoded in the PEs, decoded on the way."""
    from_dram = {"weights_in": "dram"}
    return [{"decoder": "fixed", **from_dram}, huffman("pair", **from_dram)] + [
        huffman(design, **from_dram, decoder_placement="load", shared_by=n)
        for design, n in product(DESIGNS, (4, 64))
    ]


def sources(joint_length: int) -> list[dict[str, Any]]:
    """What the conclusions rest on, in every technology of the same node: sources disagree on SRAM."""
    joint = {"huffman_alphabet": "joint", "max_code_length": joint_length}
    row_aligned: dict[str, Any] = {"decoder": "fixed", "column_alignment": "row"}
    several = [
        row_aligned,
        huffman("pair"),
        huffman("pair", column_alignment="byte"),
        huffman("two_level", **joint),
        huffman("pair", weights_in="dram", decoder_placement="load", shared_by=4),
    ]
    names = decoders_page.TECHNOLOGIES
    return [fields | {"technology": name} for name, fields in product(names, several)]


def huffman(design: str, **fields: Any) -> dict[str, Any]:
    """Fields of a machine with Huffman streams."""
    return {"decoder": "huffman", "decoder_design": design, **fields}


def table(cases: Iterable[Case] = NETWORKS) -> pd.DataFrame:
    """A row per network and machine of 64 PEs, with memories as large as the network needs them."""
    return pd.concat([runs(case, machines(case)) for case in cases], ignore_index=True)


def runs(case: Case, several: list[tuple[str, dict[str, Any]]]) -> pd.DataFrame:
    """A row per machine; ratios are to fixed entries of the same technology and memory."""
    needed = {"overflow": "grow", "weight_sram_bytes": 1, "pointer_sram_bytes": 1}
    base = accelerator("eie-64", **needed, **case.fields)
    session = open_session(case.path, None, base)
    fixed = {
        (name, memory): run(session, base.replace(technology=name, weights_in=memory))
        for name, memory in product(decoders_page.TECHNOLOGIES, ("sram", "dram"))
    }
    rows = []
    for part, fields in several:
        machine = base.replace(**fields)
        about = {"network": case.name, "part": part} | described(machine)
        about["table_bits"] = table_bits(session, machine)
        same = fixed[machine.technology, machine.weights_in]
        rows.append(about | measured(run(session, machine), same))
    return pd.DataFrame(rows)


def run(session: Session, machine: Accelerator) -> Result:
    """Run a machine whose memories hold the largest layer, also if it comes from DRAM each time."""
    result = session.run(machine.replace(weights_in="sram"))
    if machine.weights_in == "sram":
        return result
    sizes = result.memories
    return session.run(
        machine.replace(
            weight_sram_bytes=sizes.weight_bytes, pointer_sram_bytes=sizes.pointer_bytes
        )
    )


def table_bits(session: Session, machine: Accelerator) -> int:
    """Storage of one decoder."""
    laid_out = session.place(machine.replace(weights_in="sram")).laid_out.values()
    return unit_for_all([item.decoded.unit for item in laid_out]).table_bits


def described(machine: Accelerator) -> dict[str, Any]:
    """The machine in the columns of the table; what it has no use for is left empty."""
    streams = machine.decoder == "huffman"
    design = machine.decoder_design if streams else ""
    window = design == "multi_symbol"
    return {
        "technology": machine.technology,
        "weights_in": machine.weights_in,
        "decoder": machine.decoder,
        "placement": machine.decoder_placement if streams else "",
        "shared_by": "" if machine.decoder_placement == "inline" else machine.shared_by,
        "design": design,
        "bits_per_cycle": machine.bits_per_cycle if design == "bit_serial" else "",
        "first_level_bits": machine.first_level_bits if design == "two_level" else "",
        "entries_per_cycle": machine.entries_per_cycle if window else "",
        "window_bits": machine.window_bits if window else "",
        "alphabet": machine.huffman_alphabet if streams else "",
        "max_code_length": machine.max_code_length if streams else "",
        "alignment": machine.column_alignment,
        "sub_streams": machine.sub_streams if streams else "",
        "multipliers": machine.multipliers,
    }


def measured(result: Result, fixed: Result) -> dict[str, Any]:
    """What the machine needs; saved, and ratios: against `fixed`."""
    total, sizes = result.total, result.memories
    energy = result.energy.groupby("component").energy_pj.sum()
    area = result.area.groupby("component").area_mm2.sum()
    return {
        "cycles": total["cycles"],
        "weight_sram_bytes_per_pe": sizes.weight_bytes,
        "pointer_sram_bytes_per_pe": sizes.pointer_bytes,
        "dram_bytes": sum(layer["dram_bytes"] for layer in result.rows),
        "load_cycles": sum(layer["load_cycles"] for layer in result.rows),
        "energy_pj": round(total["energy_pj"]),
        "decoding_energy_pj": round(sum(energy.get(part, 0.0) for part in DECODING)),
        "area_mm2": round(total["area_mm2"], 4),
        "decoding_area_mm2": round(sum(area.get(part, 0.0) for part in DECODING), 4),
        "saved_pct": round(100 * (1 - sizes.weight_bytes / fixed.memories.weight_bytes), 2),
        "cycles_ratio": round(total["cycles"] / fixed.total["cycles"], 4),
        "energy_ratio": round(total["energy_pj"] / fixed.total["energy_pj"], 4),
        "area_ratio": round(total["area_mm2"] / fixed.total["area_mm2"], 4),
    }


def main() -> None:
    """Write the CSV file and the picture, and put the tables into the page."""
    frame = table()
    frame.to_csv(CSV, index=False)
    drawn = frame[frame.part == "placement"]
    draw_decoders(drawn, PICTURE, title="Huffman decoders on 64 PEs, against fixed entries")
    decoders_page.fill_page(frame)


if __name__ == "__main__":
    main()
