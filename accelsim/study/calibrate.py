"""The published chip's PE by type and by module, and the few factors that are fitted to it.

Han et al., EIE, ISCA 2016, Table II prints power and area of one PE twice: by type of cell (memory, clock
network, registers, combinational logic, filler) and by module. Each component of ours belongs to one of
each, so that one half of the printed rows can fix what is not published and the other half can check it.
"""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from accelsim.baseline.published import pe_table
from accelsim.simulation.result import Result

if TYPE_CHECKING:
    import pandas as pd

What: TypeAlias = Literal["power_mw", "area_um2"]

# The module that a component is in, by how its name begins. Other components are shared by all modules,
# or stand outside of the PEs.
MODULES = {
    "activation queue": "ActQueue",
    "pointer": "PtrRead",
    "weight": "SpmatRead",
    "entry selection": "SpmatRead",
    "pipeline": "ArithmUnit",
    "codebook": "ArithmUnit",
    "multiply": "ArithmUnit",
    "add": "ArithmUnit",
    "arithmetic unit": "ArithmUnit",
    "accumulator": "ActRW",
    "activation SRAM": "ActRW",
    "activation registers": "ActRW",
    "Huffman tables": "SpmatRead",
    "decoder shifter": "SpmatRead",
    "filler": "filler",
}
# How components begin that are in no PE.
OUTSIDE = ("leading-non-zero detection", "broadcast wires", "DRAM", "vector")
TYPES = {"registers": "register", "logic": "combinational", "leakage": "memory"}
# What the modules share, and the area that they share it by.
SHARED = {
    "clock pins": "register",
    "clocked registers": "register",
    "clock network": "register",
    "SRAM leakage": "memory",
    "clock tree": "",
}
# Factors, and the components that are proportional to them. Registers and clock pins share one.
FACTORS: Mapping[What, Mapping[str, tuple[str, ...]]] = {
    "power_mw": {
        "sram_scale.leakage": ("SRAM leakage",),
        "power.clock_tree": ("clock tree",),
        "actions.clock_pin": ("clock pins", "clocked registers"),
        "actions.register_write": (
            "activation queues",
            "pointer registers",
            "weight row registers",
            "pipeline registers",
            "accumulator writes",
        ),
        "actions.multiplexer": ("entry selection", "codebook look-up", "accumulator reads"),
    },
    "area_um2": {
        "sram_scale.area": ("weight SRAM", "pointer SRAM", "activation SRAM"),
        "cells.register_bit": ("registers",),
        "cells.multiplexer": ("multiplexers",),
        "cells.clock_per_bit": ("clock network",),
        "area.filler": ("filler",),
    },
}
# The half of the rows that the factors are fitted to.
FIT_ROWS: Mapping[What, tuple[str, ...]] = {
    "power_mw": ("clock", "register", "combinational", "SpmatRead", "ActRW"),
    "area_um2": ("clock", "register", "combinational", "filler", "SpmatRead"),
}


class Part(NamedTuple):
    """A piece of one PE: what it is of, and how much; factor: the one that it is proportional to."""

    module: str
    type: str
    component: str
    factor: str | None
    value: float


class Calibration(NamedTuple):
    """factors: by name, what the table's value is to be multiplied with; values of all rows with them."""

    factors: dict[str, float]
    rows: dict[str, float]


def calibrate(result: Result, what: What, rows: Sequence[str] | None = None) -> Calibration:
    """Fit the factors to rows of Table II (default: FIT_ROWS), least squares of relative errors.

    result: AlexNet FC8 on `eie-64`, or another workload that the published power is taken to be of.
    """
    parts = pe_parts(result, what)
    chosen = FIT_ROWS[what] if rows is None else rows
    names = list(FACTORS[what])
    published = pe_table(what)
    matrix, fixed = _linear(parts, chosen, names)
    target = np.array([published[row] for row in chosen])
    found, *_ = np.linalg.lstsq(matrix / target[:, None], 1 - fixed / target, rcond=None)
    factors = dict(zip(names, (float(value) for value in found), strict=True))
    return Calibration(factors, pe_rows(parts, factors))


def every_half(result: Result, what: What) -> "pd.DataFrame":
    """Fit the factors to every half of the rows, and check each on the other half.

    Columns: fitted (the rows), condition (of the equations), least_factor, worst_check_pct.
    """
    import pandas as pd

    parts, published = pe_parts(result, what), pe_table(what)
    names = list(FACTORS[what])
    found = []
    for rows in combinations(published, len(names)):
        matrix, _ = _linear(parts, rows, names)
        weights = np.array([published[row] for row in rows])
        factors, values = calibrate(result, what, rows)
        checks = [abs(values[row] / published[row] - 1) for row in published if row not in rows]
        found.append(
            {
                "fitted": ", ".join(rows),
                "condition": float(np.linalg.cond(matrix / weights[:, None])),
                "least_factor": min(factors.values()),
                "worst_check_pct": 100 * max(checks),
            }
        )
    return pd.DataFrame(found)


def pes_energy_pj(result: Result) -> float:
    """Energy of the PEs alone, as EIE counts: without the wires and the tree between them."""
    terms = [term for layer in result.layer_results for term in layer.energy]
    return sum(term.energy_pj for term in terms if not term.component.startswith(OUTSIDE))


def pe_parts(result: Result, what: What) -> list[Part]:
    """Every component of one PE (mean over the array), split where several modules share it."""
    return _power_parts(result) if what == "power_mw" else _area_parts(result)


def pe_rows(parts: Sequence[Part], factors: Mapping[str, float] | None = None) -> dict[str, float]:
    """Sums by the rows of Table II; factors: of what is to be changed, by name."""
    scaled = [
        part._replace(value=part.value * (factors or {}).get(part.factor or "", 1.0))
        for part in parts
    ]
    rows = {"total": sum(part.value for part in scaled)}
    for part in scaled:
        for row in {part.type, part.module}:
            rows[row] = rows.get(row, 0.0) + part.value
    return rows


def _linear(
    parts: Sequence[Part], rows: Sequence[str], names: Sequence[str]
) -> tuple["np.ndarray", "np.ndarray"]:
    """What each factor adds to each row, and what is there whatever the factors."""
    matrix, fixed = np.zeros((len(rows), len(names))), np.zeros(len(rows))
    for part in parts:
        for index, row in enumerate(rows):
            if row in ("total", part.type, part.module):
                if part.factor is None:
                    fixed[index] += part.value
                else:
                    matrix[index, names.index(part.factor)] += part.value
    return matrix, fixed


def _power_parts(result: Result) -> list[Part]:
    """In mW, over the whole run."""
    scale = 1.0 / (1e3 * result.total["latency_us"] * result.machine.pes)
    terms = [term for layer in result.layer_results for term in layer.energy]
    return [
        part
        for term in terms
        for part in _split(result, "power_mw", term.component, term.group, scale * term.energy_pj)
    ]


def _area_parts(result: Result) -> list[Part]:
    """In um2."""
    scale = 1e6 / result.machine.pes
    return [
        part
        for term in result.area_terms
        for part in _split(result, "area_um2", term.component, term.group, scale * term.area_mm2)
    ]


def _split(result: Result, what: What, component: str, group: str, value: float) -> list[Part]:
    """A component as a part, or as the modules' shares of it; nothing if it is outside of the PEs."""
    if component.startswith(OUTSIDE):
        return []
    kind = TYPES.get(group, group)
    ending = component.rpartition(": ")[2]  # of a block's area: what it is made of
    known = FACTORS[what].items()
    factor = next((name for name, of in known if component in of or ending in of), None)
    group_of = SHARED.get(component)
    shares = {_module(component): 1.0} if group_of is None else _shares(result, group_of)
    return [Part(module, kind, component, factor, part * value) for module, part in shares.items()]


def _shares(result: Result, group: str) -> dict[str, float]:
    """Each module's part of the area of a group, or of all groups that are in modules."""
    areas: dict[str, float] = {}
    for term in result.area_terms:
        outside = term.component.startswith((*OUTSIDE, *SHARED, "filler"))
        if not outside and group in ("", term.group):
            module = _module(term.component)
            areas[module] = areas.get(module, 0.0) + term.area_mm2
    whole = sum(areas.values())
    return {module: area / whole for module, area in areas.items()}


def _module(component: str) -> str:
    return next(module for name, module in MODULES.items() if component.startswith(name))
