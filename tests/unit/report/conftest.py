import numpy as np
import pandas as pd
import pytest

from accelsim.network.npz import load_npz
from accelsim.simulation.network import simulate

NAMES = [
    "eie-64, weights in SRAM",
    "eie-64, compressed weights from LPDDR2",
    "eie-64, dense 16-bit weights from LPDDR2",
    "EIE, 64 PEs at 800 MHz (EIE Table IV)",
    "Core i7-5930K, dense (EIE Table IV)",
    "Core i7-5930K, sparse (EIE Table IV)",
    "Titan X, dense (EIE Table IV)",
    "Titan X, sparse (EIE Table IV)",
    "Tegra K1, sparse (EIE Table IV)",
    "CPU here, dense BLAS, warm (Intel(R) Xeon(R) Platinum 8481C CPU @ 2.10GHz)",
    "NVIDIA H200, cuSPARSE",
    "Server CPU, DRAM roofline",
]
KINDS = ["simulated"] * 3 + ["published"] * 6 + ["measured"] * 2 + ["estimate"]
LATENCY_US = [9.9, 370, 1280, 9.9, 1134.9, 890.5, 80.5, 54.6, 837, 310, 14, 27]
ENERGY_UJ = [7.38, 300, 2620, 5.84, 82848, 65006, 12800, 8681, 4269, np.nan, 3500, 2430]


@pytest.fixture
def systems():
    """A comparison with the first n of twelve systems."""

    def build(n=12):
        table = pd.DataFrame(
            {
                "system": NAMES,
                "kind": KINDS,
                "latency_us": LATENCY_US,
                "energy_uj": ENERGY_UJ,
                "source": ["simulated"] * 3 + ["Han et al., EIE, ISCA 2016, Table IV"] * 9,
                "note": [""] * 11 + ["memory bandwidth only"],
            }
        )
        for ratio, column in (("latency_ratio", "latency_us"), ("energy_ratio", "energy_uj")):
            table[ratio] = table[column] / table[column].iloc[0]
        return table.head(n)

    return build


@pytest.fixture
def points():
    """A sweep over PEs and queue depths that follows Amdahl's law."""
    rows = [
        {
            "pes": pes,
            "queue_depth": depth,
            "cycles": round(400_000 / pes + 8_000 / depth),
            "latency_us": (400_000 / pes + 8_000 / depth) / 800,
            "utilization_frac": 1 / (1 + pes / depth / 50),
            "energy_pj": 5e6 + 3e4 * pes,
            "area_mm2": 0.6 * pes,
        }
        for depth in (2, 8)
        for pes in (1, 2, 4, 8, 16, 32, 64, 128, 256)
    ]
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def result(tmp_path_factory):
    """A real run of two small layers with markup in a name."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("net") / "small.npz"
    np.savez(
        path,
        **{
            "first[bold]/weights": rng.normal(size=(100, 200)).astype(np.float32),
            "second/weights": rng.normal(size=(10, 100)).astype(np.float32),
        },
    )
    return simulate(load_npz(path), pes=8, overflow="grow")
