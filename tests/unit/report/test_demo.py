import io
import re

import pytest
from rich.console import Console

from accelsim.compression.describe import inspect
from accelsim.errors import InputError
from accelsim.network.bundled import bundled_traces
from accelsim.network.npz import read_arrays
from accelsim.report.demo import demo
from accelsim.simulation.network import simulate


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "report"
    terminal = io.StringIO()
    page = demo(folder, measure=False, console=Console(file=terminal, width=120))
    return page, page.read_text(encoding="utf-8"), terminal.getvalue()


@pytest.fixture(scope="module")
def results():
    arrays = read_arrays(bundled_traces()["lenet-300-100"])
    variants = ({}, {"weights_in": "dram", "decoder": "dense"})
    sram, dense = (simulate("lenet-300-100", "eie-64", arrays["inputs"], **v) for v in variants)
    return sram, dense, arrays["labels"]


def test_the_folder_holds_the_page_and_all_files(shown):
    page = shown[0]
    assert page.name == "index.html"
    assert {path.name for path in page.parent.iterdir()} >= {
        "index.html", "comparison.png", "energy.png", "balance.png",
        "sweep.csv", "points.csv", "sweep.png",
    }  # fmt: skip


def test_the_lead_tells_the_results_numbers(shown, results):
    sram, dense, labels = results
    lead = re.search(r'<p class="lead">(.*?)</p>', shown[1], re.DOTALL).group(1)
    described = inspect("lenet-300-100")
    right = int((sram.outputs.argmax(axis=1) == labels).sum())
    times = dense.total["latency_us"] / sram.total["latency_us"]
    energies = dense.total["energy_pj"] / sram.total["energy_pj"]
    for told in (
        f"{described.size_bytes:,} bytes instead of {described.dense_bytes:,}",
        f"{described.dense_bytes / described.size_bytes:.1f} times smaller",
        f"{sram.total['latency_us'] / 10:.2f} µs and {sram.total['energy_pj'] / 1e7:.3f} µJ",
        f"takes {times:.0f} times as long and {energies:.0f} times the energy",
        f"reads {right} of 10 drawn digits right",
    ):
        assert told in lead
    # A 784-300-100-10 network in float32, with its biases.
    assert described.dense_bytes == 4 * (784 * 300 + 300 * 100 + 100 * 10 + 300 + 100 + 10)


def test_the_page_shows_every_layers_cycles(shown, results):
    for row in results[0].rows:
        assert f">{row['cycles']:,}<" in shown[1]


def test_the_terminal_shows_the_tables_and_where_the_page_is(shown):
    page, _, terminal = shown
    assert str(page) in terminal
    for words in ("1. The network, compressed", "2. Simulated on eie-64", "3. Weights in SRAM"):
        assert words in terminal
    assert "reads 10 of 10 digits right" in terminal


def test_a_folder_that_cannot_be_made_is_an_error_before_anything_runs(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: cannot make this folder"):
        demo(tmp_path / "file", measure=False)
