"""What `write_trace` leaves in a folder, what it refuses, and what it prints."""

import io

import pandas as pd
import pytest
from pandas.testing import assert_frame_equal
from rich.console import Console

from accelsim.errors import CapacityError, InputError
from accelsim.report.trace import print_trace, trace_dict, waves, write_trace

ALWAYS = ["trace.json", "stalls.csv", "stall_columns.csv", "stall_layers.csv", "stalls.png"]


def test_a_trace_of_a_network_is_a_folder_of_files(traced, tmp_path):
    files = write_trace(traced, tmp_path / "out")
    assert sorted(path.name for path in files) == sorted([*ALWAYS, "timeline.png"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in files
    )
    assert_frame_equal(pd.read_csv(tmp_path / "out/stalls.csv"), traced.stalls)
    assert_frame_equal(pd.read_csv(tmp_path / "out/stall_columns.csv"), traced.stall_columns)


def test_a_window_adds_a_waveform(one_layer, tmp_path):
    files = write_trace(one_layer, tmp_path, window=(10, 30))
    assert tmp_path / "wave.vcd" in files
    assert "$enddefinitions" in (tmp_path / "wave.vcd").read_text(encoding="ascii")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": (30, 10)}, r"window 30:10: layer 'first' has cycles 1 to \d+"),
        ({"window": (0, 10)}, "window 0:10"),
        ({"window": (10**6, 10**7)}, "has cycles 1 to"),
        ({"window": (20, 10**9)}, r"window 20:1000000000: layer 'first' has cycles 1 to \d+: give"),
        ({"ruler": "miles"}, "ruler 'miles': not known: use time or cycles"),
        ({"limit_mb": 0.01}, r"trace.json would have about 0 MB, more than 0.01: .*--window"),
    ],
)
def test_what_cannot_be_written_is_refused_before_anything_is(
    one_layer, tmp_path, options, message
):
    with pytest.raises(InputError, match=message):
        write_trace(one_layer, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_too_many_layers_and_too_large_a_waveform_are_refused(
    traced, one_layer, tmp_path, monkeypatch
):
    with pytest.raises(InputError, match=r"choose it with --layer \(first, second\)"):
        write_trace(traced, tmp_path / "out", window=(1, 5))
    with pytest.raises(CapacityError, match="trace one layer"):
        write_trace(traced, tmp_path / "out", limit_mb=0.01)
    monkeypatch.setattr(waves, "estimated_bytes", lambda *_: 3e8)
    with pytest.raises(CapacityError, match=r"wave.vcd would have about 300 MB.*--window"):
        write_trace(one_layer, tmp_path / "out", window=(40, 41))
    assert not (tmp_path / "out").exists()


def test_a_window_may_end_with_the_layer_and_not_beyond(one_layer, tmp_path):
    end = one_layer.traced[0].last_cycle
    write_trace(one_layer, tmp_path, window=(20, end))
    assert (tmp_path / "wave.vcd").stat().st_size > 0
    with pytest.raises(InputError, match=f"has cycles 1 to {end}: give FIRST:LAST of these"):
        write_trace(one_layer, tmp_path, window=(20, end + 1))


def test_a_trace_without_a_window_leaves_no_waveform_of_an_earlier_one(one_layer, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    write_trace(one_layer, tmp_path, window=(20, 40))
    files = write_trace(one_layer, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in files} | {
        "notes.txt"
    }
    assert tmp_path / "wave.vcd" not in files


def printed(trace, files, width=100):
    console = Console(file=io.StringIO(), width=width)
    print_trace(trace, files, console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [50, 100])
def test_the_report_names_the_worst_pe_and_column(traced, tmp_path, width):
    text = printed(traced, [tmp_path / "trace.json"], width)
    worst = traced.stalls.iloc[0]
    assert f"PE {worst['pe']}" in text
    assert f"{worst['stall_cycles_caused']:,}" in text
    assert "PEs that stall first the most" in text
    assert "trace.json" in text


def test_the_report_of_programs_has_the_worst_of_each_layer(traced, tmp_path):
    told = trace_dict(traced, [tmp_path / "trace.json"])
    assert [row["layer"] for row in told["layers"]] == ["first", "second"]
    assert told["worst_pes"][0]["pe"] == traced.stalls["pe"][0]
    assert len(told["worst_pes"]) == 2 * 5
    assert told["files"] == [str(tmp_path / "trace.json")]
