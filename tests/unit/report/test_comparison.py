import re

import pytest

from accelsim.report.comparison import write_comparison
from accelsim.report.figures.style import Figure
from accelsim.report.sweeping import write_sweep
from accelsim.study.compare import compare
from accelsim.study.sweep import sweep


@pytest.fixture
def titles(monkeypatch):
    """Titles of the figures that are saved."""
    seen = []
    save = Figure.savefig

    def saved(figure, *args, **kwargs):
        save(figure, *args, **kwargs)
        seen.append(figure.get_suptitle())

    monkeypatch.setattr(Figure, "savefig", saved)
    return seen


@pytest.mark.parametrize(
    ("network", "layer", "expected"),
    [
        ("alexnet_fc", "Alex-8", "alexnet_fc: Alex-8 (synthetic weights)"),
        ("alexnet_fc", None, "alexnet_fc (synthetic weights)"),
        ("lenet-300-100", None, "lenet-300-100"),
    ],
)
def test_a_title_names_network_layer_and_synthetic_weights(
    titles, tmp_path, network, layer, expected
):
    write_comparison(compare(network, measure=False), tmp_path / "out", layer)
    assert titles == [expected, re.sub(": [^ ]*", "", expected)]


def test_a_sweep_is_titled_by_its_network(titles, tmp_path):
    frame = sweep("lenet-300-100", pes=[16, 64])
    write_sweep(frame, ["pes"], tmp_path / "out")
    assert titles == [frame.attrs.get("network", "")]
