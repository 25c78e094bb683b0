"""The whole reproduction, without real data; and errors with them."""

import math
import struct

import pandas as pd
import pytest
from exact.layers import REPOSITORY, data_dir

from accelsim.report.figures.deep_compression import FIGURES
from accelsim.study.reproduce.chapters import COLUMNS
from accelsim.study.reproduce.deep_compression import paper
from accelsim.study.reproduce.deep_compression.published import PAPER_NETWORKS
from accelsim.study.reproduce.deep_compression.sizes import our_network
from accelsim.study.reproduce.deep_compression.table_1 import Errors, errors_of, table_1

RECORDS = REPOSITORY / "reports" / "reference" / "deep_compression"


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def reproduction(told):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(paper, "real_file", lambda _name: None)
        yield paper.reproduce_deep_compression(
            progress=lambda step, share: told.append((step, share))
        )


@pytest.fixture(scope="module")
def chapters(reproduction):
    return {chapter.name: chapter for chapter in reproduction.chapters}


def test_every_number_stands_once_with_a_note(reproduction):
    table = reproduction.comparison
    assert tuple(table.columns) == COLUMNS
    assert not table.duplicated(["table", "row", "column"]).any()
    assert table["published"].notna().all()
    assert (table["note"] != "").all()


def test_only_accuracies_of_drawn_networks_are_missing(reproduction):
    table = reproduction.comparison
    missing = table[table["ours"].isna()]
    assert set(missing["row"]) == {"AlexNet", "VGG-16"}
    assert len(missing) == 8
    assert missing["column"].str.contains("error").all()
    assert missing["note"].str.contains("no accuracy").all()


def test_tables_have_the_size_of_the_papers(reproduction):
    rows = reproduction.comparison.groupby("table").size()
    # Seven numbers a row and, of each Total, three ratios beside it; four networks with top-1 errors,
    # sizes and ratio, two of them with top-5 errors.
    layers = {"Table 2": 4, "Table 3": 5, "Table 4": 9, "Table 5": 17}
    assert {name: rows[name] for name in layers} == {x: 7 * n + 3 for x, n in layers.items()}
    assert rows["Table 1"] == 4 * 5 + 2 * 2
    assert rows["Table 8"] == rows["Table 9"] == 72


def test_progress_ends_with_all_done(reproduction, told):
    assert reproduction.provenance["seed"] == 0
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_large_networks_are_those_of_the_committed_records(chapters):
    """The same networks, drawn again, as in reports/reference/deep_compression_large.md."""
    records = pd.read_csv(RECORDS / "large_layers.csv")
    for name, network in (("table_4", "alexnet"), ("table_5", "vgg16")):
        rows = records[records["network"] == network].set_index("layer")
        ours = chapters[name].data.set_index("layer")
        for column in ("kept_pct", "entries_pct", "index_bits_pqh", "rate_pqh_pct"):
            pd.testing.assert_series_equal(
                ours[column],
                rows[column],
                check_names=False,
                check_exact=False,
                atol=0.0051,
                rtol=0,
            )


def test_trained_networks_are_those_of_the_committed_records(chapters):
    runs = pd.read_csv(RECORDS / "lenet_runs.csv").query("seed == 0").set_index("network")
    table = chapters["table_1"].data.set_index("network")
    for name, run in runs.iterrows():
        row = table.loc[name]
        assert row["paper_ratio"] == pytest.approx(run["paper_compression_ratio"], rel=1e-5)
        assert row["everything_ratio"] == pytest.approx(run["compression_ratio"], rel=1e-5)
        assert row["top1_error_reference_pct"] == pytest.approx(run["dense_error_pct"])
        assert row["recorded_error_compressed_pct"] == pytest.approx(run["compressed_error_pct"])


def test_texts_explain_where_large_networks_miss(chapters):
    text = chapters["table_5"].text
    assert "0.8 to 2.7 bits longer" in text
    assert "fc6 5.5, published 5.1 (rounded figures can explain it)" in text
    assert "fc7 5.5, published 4.8 (unexplained)" in text
    assert "unexplained" in chapters["table_4"].text


def test_without_data_errors_are_as_recorded(reproduction, chapters):
    notes = {
        number.note for number in chapters["table_1"].compared if "compressed (%)" in number.column
    }
    assert "recorded in training; without mnist/ in ACCELSIM_DATA not counted again" in notes
    assert any("mnist/" in note for note in reproduction.notes)


@pytest.fixture(scope="module")
def lenet():
    return our_network(PAPER_NETWORKS[0])


def test_errors_counted_now_agree_with_the_recorded_ones(lenet):
    folder = data_dir()
    if folder is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no MNIST")
    errors = errors_of(lenet, folder / "mnist")
    assert errors.again == pytest.approx(errors.compressed)
    assert errors.note == "counted now; agrees with the 0.95 % that training recorded"


def test_errors_that_differ_are_said_to(lenet):
    errors = Errors(1.07, 0.95, 0.97)
    assert errors.note == "counted now; DIFFERS from the 0.95 % that training recorded"
    numbers = table_1([(lenet, errors), (our_network(PAPER_NETWORKS[2]), Errors())]).compared
    compressed = next(x for x in numbers if x.column == "top-1 error, compressed (%)")
    assert compressed.ours == 0.97


def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_chapters_are_drawn(chapters, tmp_path, name):
    before = chapters[name].data.copy()
    path = tmp_path / f"{name}.png"
    assert FIGURES[name](chapters[name].data, path) == path
    width, height = png_size(path)
    assert 900 < width < 3000
    assert 400 < height < 1500
    pd.testing.assert_frame_equal(chapters[name].data, before)


@pytest.fixture
def drawn_figure(monkeypatch):
    from matplotlib.figure import Figure

    figures = []
    save = Figure.savefig

    def saved(figure, *args, **kwargs):
        save(figure, *args, **kwargs)
        figures.append(figure)

    monkeypatch.setattr(Figure, "savefig", saved)
    return figures


def test_bars_of_stages_are_as_high_as_the_sizes(chapters, tmp_path, drawn_figure):
    data = chapters["figure_1"].data
    FIGURES["figure_1"](data, tmp_path / "figure.png")
    alexnet = drawn_figure[0].axes[2]
    rows = data[(data["network"] == "AlexNet") & (data["stage"] != "dense")]
    heights = [bar.get_height() for bar in alexnet.patches]
    expected = [*(100 / rows["published_ratio"]), *(100 / rows["ratio"])]
    assert heights == pytest.approx(expected)
    texts = [text.get_text() for text in alexnet.texts]
    assert "8.1 MB, 30×" in texts


def test_bars_of_figure_9_end_at_the_ratios(chapters, tmp_path, drawn_figure):
    data = chapters["figure_9"].data
    FIGURES["figure_9"](data, tmp_path / "figure.png")
    panel = next(
        axes for axes in drawn_figure[0].axes if axes.get_title("left") == "Tegra K1, batch 64"
    )
    rows = data[(data["platform"] == "mGPU") & (data["batch"] == 64)]
    ends = [bar.get_y() + bar.get_height() for bar in panel.patches]
    assert ends == pytest.approx([*rows["published_ratio"], *rows["model_ratio"]])
    low, high = panel.get_ylim()
    assert low < min(ends)
    assert max(ends) < high


def test_differences_follow_from_published_and_ours(reproduction):
    for row in reproduction.comparison.dropna().to_dict("records"):
        expected = 100 * (row["ours"] - row["published"]) / row["published"]
        assert math.isclose(row["difference_pct"], expected, abs_tol=1e-9)
