"""What was published about the layers of EIE: times and energies of CPU, GPU and mobile GPU."""

import csv
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

TABLES = Path(__file__).parent / "published"

Kind: TypeAlias = Literal["simulated", "measured", "published", "estimate"]


Range: TypeAlias = tuple[float, float]


class BaselineRow(NamedTuple):
    """One layer on one system, per input vector; energy is None where nobody knows it.

    *_range: least and most that samples, sources or the model's error allow; None where nothing tells
    energy_kind: of the energy, where it is another one than that of the latency
    """

    system: str
    kind: Kind
    layer: str
    latency_us: float
    energy_uj: float | None
    source: str
    note: str
    latency_range_us: Range | None = None
    energy_range_uj: Range | None = None
    energy_kind: Kind | None = None


class PublishedLayer(NamedTuple):
    """A layer of EIE's Tables III and IV; times are those of EIE with 64 PEs, batch 1.

    flop_frac: operations left after pruning weights and skipping zero activations
    """

    name: str
    n_in: int
    n_out: int
    weight_density_frac: float
    activation_density_frac: float
    flop_frac: float
    theoretical_us: float
    actual_us: float
    source: str


class _Platform(NamedTuple):
    """A platform as a reader knows it, and as Table V and Table 9 call it."""

    label: str
    table_v: str
    table_9: str


class _Power(NamedTuple):
    """other_w: what another source says of the same platform and kernel, if one does."""

    watts: float
    source: str
    note: str
    other_w: float | None = None


_PLATFORMS = {
    "CPU": _Platform("CPU (Core i7-5930K)", "i7-5930K", "CPU"),
    "GPU": _Platform("GPU (Titan X)", "TitanX", "TitanX"),
    "mGPU": _Platform("mobile GPU (Tegra K1)", "TegraK1", "TK1"),
}
_FAMILIES = {"Alex": ("alex", "alexnet"), "VGG": ("vgg", "vgg16")}


def published_layer(name: str) -> PublishedLayer | None:
    """Return the layer of EIE of that name (`Alex-6` ... `NT-LSTM`), or None."""
    return _layers().get(name)


def published_times(layer: str, batch: int = 1) -> list[BaselineRow]:
    """List CPU, GPU and mobile GPU, dense and sparse, on a layer of EIE; batch 1 or 64.

    Latency and energy are per input vector. Energy is time × power (see published/README.md). The
    list is empty for any other layer or batch.
    """
    return [
        _baseline(row)
        for row in _table("eie_platform_times.csv")
        if row["layer"] == layer and row["batch"] == str(batch)
    ]


def pe_table(what: Literal["power_mw", "area_um2"]) -> dict[str, float]:
    """EIE Table II: power or area of one PE in all, by type of cell and by module; no row that is 0."""
    rows = {row["component"]: float(row[what]) for row in _table("eie_pe_power_area.csv")}
    return {name: value for name, value in rows.items() if value}


def match_layer(name: str, n_in: int, n_out: int) -> str | None:
    """Name the layer of EIE that a network's layer is, by its name and size; None if it is none.

    Besides EIE's own names, `alexnet_fc8`, `vgg_fc6`, `vgg16.fc6` and the like are known.
    """
    layer = published_layer(_aliases().get(_plain(name), ""))
    if layer is None or (layer.n_in, layer.n_out) != (n_in, n_out):
        return None
    return layer.name


def _baseline(row: dict[str, str]) -> BaselineRow:
    platform = _PLATFORMS[row["platform"]]
    power = _power(platform, row)
    latency_us = float(row["time_us"])
    return BaselineRow(
        system=f"{platform.label}, {row['kernel']}",
        kind="published",
        layer=row["layer"],
        latency_us=latency_us,
        energy_uj=latency_us * power.watts,
        source=f"time: {row['source']}; power: {power.source}",
        note=f"batch {row['batch']}; energy = time × {power.watts:g} W, {power.note}",
        energy_range_uj=_energy_range(latency_us, power),
    )


def _energy_range(latency_us: float, power: _Power) -> Range | None:
    if power.other_w is None:
        return None
    low, high = sorted((power.watts, power.other_w))
    return latency_us * low, latency_us * high


def _power(platform: _Platform, time: dict[str, str]) -> _Power:
    """Take the layer's power from Table 9 of Deep Compression, else the platform's from Table V."""
    key = (platform.table_9, time["batch"], time["kernel"], _table_9_layer(time["layer"]))
    table_v = next(r for r in _table("eie_platforms.csv") if r["platform"] == platform.table_v)
    general_w = float(table_v["power_w"])
    for row in _table("deep_compression_power.csv"):
        if (row["platform"], row["batch"], row["kernel"], row["layer"]) == key:
            note = (
                "measured for the layer of this name in Deep Compression; EIE's Table V has "
                f"{general_w:g} W for the platform"
            )
            return _Power(float(row["power_w"]), row["source"], note, general_w)
    note = "measured on AlexNet FC7, dense, batch 1, not on this layer"
    return _Power(general_w, table_v["source"], note)


def _table_9_layer(layer: str) -> str:
    """Alex-6 is alexnet_fc6 there, VGG-6 vgg_fc6."""
    family, _, number = layer.partition("-")
    return {"Alex": "alexnet_fc", "VGG": "vgg_fc"}.get(family, "") + number


@cache
def _layers() -> dict[str, PublishedLayer]:
    return {
        row["layer"]: PublishedLayer(
            name=row["layer"],
            n_in=int(row["n_in"]),
            n_out=int(row["n_out"]),
            weight_density_frac=float(row["weight_density_pct"]) / 100,
            activation_density_frac=float(row["activation_density_pct"]) / 100,
            flop_frac=float(row["flop_pct"]) / 100,
            theoretical_us=float(row["theoretical_us"]),
            actual_us=float(row["actual_us"]),
            source=row["source"],
        )
        for row in _table("eie_layers.csv")
    }


@cache
def _aliases() -> dict[str, str]:
    """EIE's name of a layer by every name that it goes by, in plain spelling."""
    aliases = {_plain(name): name for name in _layers()}
    for family, networks in _FAMILIES.items():
        for network in networks:
            aliases |= {f"{network}_fc{n}": f"{family}-{n}" for n in (6, 7, 8)}
    return aliases


def _plain(name: str) -> str:
    """Lower case, and one separator for all."""
    return name.lower().replace("-", "_").replace(".", "_").replace("/", "_")


@cache
def _table(name: str) -> tuple[dict[str, str], ...]:
    with (TABLES / name).open(newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file))
