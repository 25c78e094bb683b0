"""`accelsim.roofline`: each layer of a network under the roofs of the machines that could run it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from accelsim.baseline.platform import KERNELS, Platform, platform, platform_names
from accelsim.baseline.roofline import products
from accelsim.compression.layer import CompressedNetwork
from accelsim.compression.loading import load
from accelsim.errors import InputError
from accelsim.hardware.accelerator import Accelerator, accelerator
from accelsim.network.layers import Network
from accelsim.simulation.flow import Progress
from accelsim.simulation.inputs import ActivationsLike
from accelsim.simulation.network import open_session
from accelsim.simulation.result import Result

if TYPE_CHECKING:
    import pandas as pd

SRAM = "compressed"  # what the accelerator multiplies, beside the platforms' dense and sparse


@dataclass(frozen=True, eq=False)
class Roofline:
    """Layers of a network, and the roofs above them.

    points: system, kernel (`dense`, `sparse`, `compressed`), kind, layer, ops_per_byte, gop_per_s,
        latency_us (of one inference), bound (the roof above the point, or `overhead`), note
    roofs: system, kernel, kind, gop_per_s, bandwidth_gbyte_per_s, status, source
    """

    network: str
    batch: int
    points: "pd.DataFrame"
    roofs: "pd.DataFrame"
    notes: tuple[str, ...] = ()


def roofline(
    network: "str | Path | Network | CompressedNetwork",
    platforms: "Sequence[str | Path | Platform] | None" = None,
    hardware: "str | Path | Accelerator | None" = "eie-64",
    activations: ActivationsLike = None,
    *,
    batch: int = 1,
    seed: int = 0,
    progress: Progress | None = None,
    **overrides: Any,
) -> Roofline:
    """Put each layer of a network under the roofs of platforms and of the SRAM machine.

    On a platform a point is the estimate of `accelsim.baseline.roofline.estimated_times`: float32
    weights, dense and in CSR, for `batch` inferences at once; bytes are those of DRAM. It lies below
    its roof by the overhead of a call.
    On the machine it is simulated, one inference at a time: operations are those that are done, on
    non-zero weights and activations, and bytes are rows read from the weight SRAM. The machine's roof
    is one multiply-add per multiplier and one row per PE in each cycle.

    platforms: names or TOML files; all that come with accelsim by default
    hardware: preset, TOML file or Accelerator, with `overrides` of its fields; memories grow where
        the machine does not state its `overflow`. None for platforms only
    Raises InputError or one of its kinds.
    """
    machines = [platform(name) for name in (platform_names() if platforms is None else platforms)]
    _check_labels(machines)
    points: list[dict[str, Any]] = []
    roofs: list[dict[str, Any]] = []
    notes: tuple[str, ...] = ()
    if hardware is None:
        if overrides:
            raise InputError(f"{next(iter(overrides))}: is a field of a machine: give hardware too")
        net = load(network) if isinstance(network, str | Path) else network
    else:
        machine = accelerator(hardware, **overrides)
        if "overflow" not in machine.model_fields_set:
            machine = machine.replace(overflow="grow")
        session = open_session(network, activations, machine, seed=seed)
        net = session.network
        result = session.run(machine, progress)
        notes = result.notes
        points, roofs = _simulated(result), [_sram_roof(machine)]
    for each in machines:
        points += _estimated(each, net, batch)
        roofs += _platform_roofs(each)
    if not roofs:
        raise InputError("roofline: no machine to draw: give platforms, or hardware")
    return _as_frames(net.name, batch, points, roofs, notes)


def _as_frames(
    name: str,
    batch: int,
    points: list[dict[str, Any]],
    roofs: list[dict[str, Any]],
    notes: tuple[str, ...],
) -> Roofline:
    import pandas as pd

    return Roofline(name, batch, pd.DataFrame(points), pd.DataFrame(roofs), notes)


def _check_labels(machines: list[Platform]) -> None:
    labels = [machine.label for machine in machines]
    for label in labels:
        if labels.count(label) > 1:
            raise InputError(f"platforms: two are called '{label}': change one's label, or drop it")


def _estimated(
    machine: Platform, network: "Network | CompressedNetwork", batch: int
) -> list[dict[str, Any]]:
    return [
        {
            "system": machine.label,
            "kernel": name,
            "kind": "estimate",
            "layer": work.layer,
            "ops_per_byte": work.ops_per_byte,
            "gop_per_s": work.gop_per_s(machine.kernel(name)),
            "latency_us": work.time_us(machine.kernel(name)) / batch,
            "bound": work.bound(machine.kernel(name)),
            "note": f"batch {batch}, DRAM bytes",
        }
        for name in KERNELS
        for work in products(network, batch, name)
    ]


def _platform_roofs(machine: Platform) -> list[dict[str, Any]]:
    return [
        {
            "system": machine.label,
            "kernel": name,
            "kind": "estimate",
            "gop_per_s": machine.kernel(name).gop_per_s,
            "bandwidth_gbyte_per_s": machine.kernel(name).bandwidth_gbyte_per_s,
            "status": machine.kernel(name).status,
            "source": machine.kernel(name).source,
        }
        for name in KERNELS
    ]


def _sram_roof(machine: Accelerator) -> dict[str, Any]:
    cycles_per_ns = machine.clock_mhz / 1e3
    return {
        "system": _sram_name(machine),
        "kernel": SRAM,
        "kind": "simulated",
        "gop_per_s": 2 * machine.pes * machine.multipliers * cycles_per_ns,
        "bandwidth_gbyte_per_s": machine.pes * machine.row_bits / 8 * cycles_per_ns,
        "status": "derived",
        "source": f"{machine.pes} PEs at {machine.clock_mhz:g} MHz, a {machine.row_bits}-bit row each",
    }


def _sram_name(machine: Accelerator) -> str:
    return f"{machine.name}, weights in SRAM"


def _simulated(result: Result) -> list[dict[str, Any]]:
    """A point for each layer that runs on the array and has anything to do."""
    machine = result.machine
    roof = _sram_roof(machine)
    ridge = roof["gop_per_s"] / roof["bandwidth_gbyte_per_s"]
    points = []
    for row in result.rows:
        n_ops = 2 * (row["entries"] - row["padding_entries"])
        n_bytes = row["sram_row_reads"] * machine.row_bits / 8
        if n_ops and n_bytes:
            points.append(
                {
                    "system": _sram_name(machine),
                    "kernel": SRAM,
                    "kind": "simulated",
                    "layer": row["name"],
                    "ops_per_byte": n_ops / n_bytes,
                    "gop_per_s": 1e-3 * n_ops / row["latency_us"],
                    "latency_us": row["latency_us"] / row["examples"],
                    "bound": "arithmetic" if n_ops / n_bytes >= ridge else "memory",
                    "note": "batch 1, bytes of weight SRAM rows",
                }
            )
    return points
