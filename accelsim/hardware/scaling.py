"""Scaling of logic between process nodes: energy and delay of a gate, and area."""

import math
from functools import cache
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from accelsim.errors import TechnologyError
from accelsim.hardware.dram import TABLES
from accelsim.hardware.interpolation import neighbours
from accelsim.hardware.sram import TableVersion, table_version
from accelsim.hardware.table_files import read_toml, validated

TABLE = TABLES / "scaling" / "stillmaker_baas.toml"


class ScaleFactors(NamedTuple):
    """What numbers of one node are multiplied with to be those of another."""

    energy: float
    delay: float
    area: float
    supply: float
    source: str


class _Node(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    vdd_v: float = Field(gt=0, allow_inf_nan=False)
    delay: tuple[float, float, float, float]
    energy: tuple[float, float, float]
    area_to: tuple[float, ...]

    def at_vdd(self, coefficients: tuple[float, ...]) -> float:
        """A polynomial in the node's supply voltage, highest power first."""
        value = 0.0
        for coefficient in coefficients:
            value = value * self.vdd_v + coefficient
        return value


class _Scaling(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    order_nm: tuple[int, ...]
    status: str
    source: str
    transcription: str
    vdd_source: str
    nodes: dict[int, _Node]


def scale_factors(from_nm: float, to_nm: float) -> ScaleFactors:
    """Factors from one node to another, each at its nominal supply, by Stillmaker and Baas (2017).

    Between the nodes of the paper, which are 180, 130, 90, 65, 45, 32, 20, 16, 14, 10 and 7 nm, logarithms
    are interpolated in log node. The energy is that of switching; leakage does not follow it. Raises
    TechnologyError outside 180 to 7 nm.
    """
    table = _table(table_version(TABLE))
    before, after = _parts(table, from_nm), _parts(table, to_nm)

    def mean_log(parts: list[tuple[int, float]], what: str) -> float:
        nodes = [(table.nodes[node], part) for node, part in parts]
        return sum(part * math.log(node.at_vdd(getattr(node, what))) for node, part in nodes)

    def mean_supply(parts: list[tuple[int, float]]) -> float:
        return sum(part * math.log(table.nodes[node].vdd_v) for node, part in parts)

    area = sum(
        from_part * to_part * math.log(table.nodes[node].area_to[table.order_nm.index(other)])
        for node, from_part in before
        for other, to_part in after
    )
    return ScaleFactors(
        energy=math.exp(mean_log(after, "energy") - mean_log(before, "energy")),
        delay=math.exp(mean_log(after, "delay") - mean_log(before, "delay")),
        area=math.exp(area),
        supply=math.exp(mean_supply(after) - mean_supply(before)),
        source=table.source,
    )


def _parts(table: _Scaling, node_nm: float) -> list[tuple[int, float]]:
    nodes = sorted(table.nodes)
    try:
        return neighbours(nodes, node_nm)
    except ValueError:
        raise TechnologyError(
            f"{TABLE.name}: {node_nm:g} nm is outside {nodes[-1]} to {nodes[0]} nm: give a table of the "
            "node itself"
        ) from None


@cache
def _table(version: TableVersion) -> _Scaling:
    return validated(_Scaling, read_toml(version.path), version.path)
