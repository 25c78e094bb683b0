import pytest

from accelsim.baseline.published import match_layer, published_layer, published_times

NINE = ["Alex-6", "Alex-7", "Alex-8", "VGG-6", "VGG-7", "VGG-8", "NT-We", "NT-Wd", "NT-LSTM"]
SYSTEMS = [
    f"{platform}, {kernel}"
    for platform in ("CPU (Core i7-5930K)", "GPU (Titan X)", "mobile GPU (Tegra K1)")
    for kernel in ("dense", "sparse")
]


def row(layer, system, batch=1):
    (found,) = (row for row in published_times(layer, batch) if row.system == system)
    return found


@pytest.mark.parametrize("batch", [1, 64])
@pytest.mark.parametrize("layer", NINE)
def test_six_rows_for_every_layer_of_eie(layer, batch):
    rows = published_times(layer, batch)
    assert [row.system for row in rows] == SYSTEMS
    assert {(row.kind, row.layer) for row in rows} == {("published", layer)}
    assert all(f"batch {batch};" in row.note for row in rows)


@pytest.mark.parametrize(
    ("layer", "system", "batch", "latency_us", "watts"),
    [
        ("Alex-6", "CPU (Core i7-5930K), dense", 1, 7516.2, 83.5),
        ("Alex-8", "CPU (Core i7-5930K), sparse", 64, 407.7, 38),
        ("Alex-7", "GPU (Titan X), dense", 1, 243.0, 159),
        ("VGG-6", "GPU (Titan X), sparse", 1, 167.0, 189),
        ("VGG-8", "mobile GPU (Tegra K1), sparse", 1, 745.1, 5.8),
        ("NT-We", "CPU (Core i7-5930K), dense", 1, 605.0, 73),
        ("NT-LSTM", "mobile GPU (Tegra K1), sparse", 1, 315, 5.1),
    ],
)
def test_energy_is_printed_time_times_printed_power(layer, system, batch, latency_us, watts):
    found = row(layer, system, batch)
    assert found.latency_us == latency_us
    assert found.energy_uj == pytest.approx(latency_us * watts)


def test_source_names_both_tables_and_note_tells_whose_power():
    alex = row("Alex-6", "CPU (Core i7-5930K), dense")
    assert "Table IV" in alex.source
    assert "Table 9" in alex.source
    assert "measured for the layer of this name in Deep Compression" in alex.note
    talk = row("NT-We", "GPU (Titan X), sparse")
    assert "Table IV" in talk.source
    assert "Table V" in talk.source.split("power:")[1]
    assert "AlexNet FC7" in talk.note


def test_table_v_is_of_dense_fc7_at_batch_1():
    # 162, 4115 and 173 frames/s: what published/README.md concludes about whose power it is
    for system, frames_per_s in zip(SYSTEMS[::2], (162, 4115, 173), strict=True):
        assert 1e6 / row("Alex-7", system).latency_us == pytest.approx(frames_per_s, abs=1)


def test_nothing_is_known_of_other_layers_and_batches():
    assert published_times("fc1") == []
    assert published_times("Alex-6", batch=2) == []
    assert published_layer("fc1") is None


def test_a_published_layer():
    layer = published_layer("VGG-6")
    assert (layer.n_in, layer.n_out) == (25088, 4096)
    assert (layer.theoretical_us, layer.actual_us) == (28.1, 34.4)
    assert layer.weight_density_frac == pytest.approx(0.04)
    assert layer.activation_density_frac == pytest.approx(0.183)
    assert layer.flop_frac == pytest.approx(0.01)


@pytest.mark.parametrize(
    ("name", "n_in", "n_out", "expected"),
    [
        ("Alex-8", 4096, 1000, "Alex-8"),
        ("alexnet_fc8", 4096, 1000, "Alex-8"),
        ("alexnet.fc6", 9216, 4096, "Alex-6"),
        ("vgg_fc6", 25088, 4096, "VGG-6"),
        ("VGG16-FC7", 4096, 4096, "VGG-7"),
        ("nt_lstm", 1201, 2400, "NT-LSTM"),
        ("alexnet_fc8", 4096, 1001, None),
        ("alexnet_fc8", 1000, 4096, None),
        ("fc8", 4096, 1000, None),
    ],
)
def test_a_layer_matches_by_name_and_size(name, n_in, n_out, expected):
    assert match_layer(name, n_in, n_out) == expected
