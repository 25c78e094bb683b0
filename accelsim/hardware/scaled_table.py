"""A technology table in another node: logic by the published scaling factors, status `scaled`."""

from pathlib import Path
from typing import Any

from accelsim.errors import TechnologyError
from accelsim.hardware.scaling import scale_factors


def scaled_fields(fields: dict[str, Any], node_nm: Any, path: Path) -> dict[str, Any]:
    """Fields of a table with every number of logic scaled from its node to `node_nm`.

    Energies per action scale as the energy of a gate, areas as the area, what is per mm2 as one over the
    other. A wire's capacitance per mm stays, so its energy scales as the supply squared. SRAMs come from
    the grid, at the node; their factors and leakage per bit stay, an estimate. Raises TechnologyError
    outside the method's nodes.
    """
    if not isinstance(node_nm, int) or isinstance(node_nm, bool):
        raise TechnologyError(f"{path}: node_nm={node_nm!r}: give a whole number of nanometres")
    try:
        factors = scale_factors(fields["node_nm"], node_nm)
    except TechnologyError as error:
        raise TechnologyError(f"{path}: node_nm={node_nm}: {error}") from None
    remark = f"; scaled from {fields['node_nm']} to {node_nm} nm: {factors.source}"

    def scaled(row: dict[str, Any], number: str, factor: float) -> dict[str, Any]:
        return row | {
            number: row[number] * factor,
            "status": "scaled",
            "source": row["source"] + remark,
        }

    by_action = {"wire_mm": factors.supply**2}
    areas = {"mm2": factors.area}
    return fields | {
        "node_nm": node_nm,
        "alternatives": [],
        "sram_scale": {
            name: row
            | {
                "status": "estimate",
                "source": f"{row['source']}; of {fields['node_nm']} nm, taken for {node_nm} nm",
            }
            for name, row in fields["sram_scale"].items()
        },
        "actions": {
            name: scaled(row, "energy_pj", by_action.get(name, factors.energy))
            for name, row in fields["actions"].items()
        },
        "power": {
            name: scaled(row, "power_mw", factors.energy / areas.get(row["per"], 1.0))
            for name, row in fields["power"].items()
        },
        "area": {
            name: row if row["per"] == "um2" else scaled(row, "area_um2", factors.area)
            for name, row in fields["area"].items()
        },
        "cells": {
            name: scaled(row, "area_um2", factors.area) for name, row in fields["cells"].items()
        },
    }
