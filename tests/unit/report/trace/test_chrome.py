"""trace.json: what Perfetto needs of it, and that it tells what the tables tell."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
from unit.report.trace.conftest import network_file

from accelsim.report.trace import chrome
from accelsim.report.trace.ruler import Ruler
from accelsim.study.trace import trace

REQUIRED = {
    "X": {"name": str, "pid": int, "tid": int, "ts": (int, float), "dur": (int, float), "args": dict},
    "C": {"name": str, "pid": int, "ts": (int, float), "args": dict},
    "M": {"name": str, "pid": int, "tid": int, "args": dict},
}  # fmt: skip
METADATA = {
    "process_name": "name", "process_sort_index": "sort_index",
    "thread_name": "name", "thread_sort_index": "sort_index",
}  # fmt: skip


def written(traced, folder, *, ruler="time", window=None, queues=4):
    path = folder / "trace.json"
    axis = Ruler(ruler, traced.result.machine.clock_mhz)
    chrome.write_chrome(traced, path, axis, window, queues)
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture
def told(traced, tmp_path):
    return written(traced, tmp_path)


def named(told, what):
    """{(pid, tid): name} of processes or threads."""
    return {
        (e["pid"], e["tid"]): e["args"]["name"]
        for e in told["traceEvents"]
        if e["name"] == f"{what}_name"
    }


def slices(told, pid=None):
    return [e for e in told["traceEvents"] if e["ph"] == "X" and pid in (None, e["pid"])]


def pid_of(told, process):
    return next(pid for (pid, _), name in named(told, "process").items() if name == process)


def pe_of(told, event):
    name = named(told, "thread")[event["pid"], event["tid"]]
    found = re.fullmatch(r"PE (\d+)", name)
    return int(found[1]) if found else None


def test_every_event_has_what_its_kind_needs(told):
    assert set(told) == {"displayTimeUnit", "otherData", "traceEvents"}
    assert told["displayTimeUnit"] == "ns"
    for event in told["traceEvents"]:
        for field, kind in REQUIRED[event["ph"]].items():
            assert isinstance(event[field], kind), event
        if event["ph"] == "M":
            assert set(event["args"]) == {METADATA[event["name"]]}
        if event["ph"] == "C":
            assert all(isinstance(value, int | float) for value in event["args"].values())
        assert event.get("dur", 0) >= 0
        assert event.get("ts", 0) >= 0


def test_every_slice_is_on_a_track_with_a_name_and_no_thread_passes_for_the_main_one(told):
    threads, processes = named(told, "thread"), named(told, "process")
    for event in slices(told):
        assert (event["pid"], event["tid"]) in threads
        assert (event["pid"], 0) in processes
        assert event["tid"] != event["pid"]


def test_slices_of_a_track_follow_one_another(told):
    """In whole nanoseconds, in which Perfetto reads them."""
    tracks = {}
    for event in slices(told):
        begin, length = (round(1000 * event[field]) for field in ("ts", "dur"))
        assert begin == pytest.approx(1000 * event["ts"], abs=1e-6)
        tracks.setdefault((event["pid"], event["tid"]), []).append((begin, begin + length))
    for spans in tracks.values():
        spans.sort()
        assert all(end <= begin for (_, end), (begin, _) in pairwise(spans))


@pytest.mark.parametrize("ruler", ["time", "cycles"])
def test_slices_stand_where_their_cycles_are(traced, tmp_path, ruler):
    told = written(traced, tmp_path, ruler=ruler)
    us = 1.0 if ruler == "cycles" else traced.result.machine.cycle_us
    starts = {f"layer {layer.name}": layer.label.start_cycle for layer in traced.traced}
    for (pid, _), process in named(told, "process").items():
        for event in slices(told, pid):
            first = starts.get(process, 0) + event["args"]["first_cycle"] - 1
            assert event["ts"] == pytest.approx(first * us, abs=0.0005001)
            after = (first + event["args"]["cycles"]) * us
            assert event["ts"] + event["dur"] == pytest.approx(after, abs=0.0005001)


def test_pes_are_busy_and_starved_as_long_as_the_result_says(traced, told):
    result = traced.result.pes.set_index(["layer", "pe"])
    for layer in traced.traced:
        sums = {}
        for event in slices(told, pid_of(told, f"layer {layer.name}")):
            pe = pe_of(told, event)
            if pe is not None:
                kind = event["name"].split(":")[0]
                sums[pe, kind] = sums.get((pe, kind), 0) + event["args"]["cycles"]
        for pe in range(layer.pes):
            row = result.loc[layer.name, pe]
            assert sums.get((pe, "busy"), 0) == row["busy_cycles"]
            assert sums.get((pe, "starved"), 0) == row["starved_cycles"]
            assert sums.get((pe, "empty column"), 0) == row["empty_column_cycles"]


def test_stalls_add_up_to_the_layers_and_name_the_pes_of_the_report(traced, told):
    rows = traced.result.layers.set_index("name")
    threads = named(told, "thread")
    for layer in traced.traced:
        pid = pid_of(told, f"layer {layer.name}")
        stalls = [
            event for event in slices(told, pid)
            if threads[pid, event["tid"]] == "broadcast" and event["name"].startswith("stalled")
        ]  # fmt: skip
        assert sum(event["args"]["cycles"] for event in stalls) == rows["stall_cycles"][layer.name]
        report = traced.stalls[traced.stalls["layer"] == layer.name].set_index("pe")
        for pe in range(layer.pes):
            blamed = [event for event in stalls if event["name"] == f"stalled by PE {pe}"]
            caused = sum(event["args"]["cycles"] for event in blamed)
            assert caused == report["stall_cycles_caused"][pe]
    assert rows["stall_cycles"]["first"] > 0


def test_every_broadcast_is_there_once_with_its_column(traced, told):
    for layer in traced.traced:
        pid = pid_of(told, f"layer {layer.name}")
        sent = [e["args"] for e in slices(told, pid) if e["name"] == "broadcast"]
        columns = ["bias" if c == layer.label.bias_column else c for c in layer.columns.tolist()]
        assert [(args["first_cycle"], args["column"]) for args in sent] == list(
            zip(layer.broadcast.tolist(), columns, strict=True)
        )
        assert columns[-1] == "bias"


def test_entries_and_padding_in_slices_add_up_to_the_results(traced, told):
    result = traced.result.layers.set_index("name")
    for layer in traced.traced:
        busy = [
            event["args"] for event in slices(told, pid_of(told, f"layer {layer.name}"))
            if event["name"] == "busy"
        ]  # fmt: skip
        for name in ("entries", "padding"):
            column = "padding_entries" if name == "padding" else name
            assert sum(args[name] for args in busy) == result[column][layer.name]


def test_counters_follow_the_queues(traced, tmp_path):
    told = written(traced, tmp_path, ruler="cycles", queues=100)
    for layer in traced.traced:
        held = np.concatenate([part for _, part in layer.occupancy(1, layer.last_cycle)])
        pid = pid_of(told, f"layer {layer.name}")
        expected = {f"queue, PE {pe}": held[:, pe] for pe in range(layer.pes)}
        expected |= {"queue, fullest": held.max(axis=1), "queue, mean": held.mean(axis=1)}
        for name, values in expected.items():
            drawn = np.zeros(layer.last_cycle)
            for event in told["traceEvents"]:
                if event["ph"] == "C" and event["pid"] == pid and event["name"] == name:
                    cycle = round(event["ts"]) - layer.label.start_cycle
                    drawn[cycle:] = event["args"]["items"]
            assert drawn == pytest.approx(values, rel=1e-5)


def test_the_fullest_queues_get_tracks_and_no_more(traced, tmp_path):
    layer = traced.traced[0]
    held = np.concatenate([part for _, part in layer.occupancy(1, layer.last_cycle)])
    told = written(traced, tmp_path, queues=2)
    pid = pid_of(told, "layer first")
    names = {e["name"] for e in told["traceEvents"] if e["ph"] == "C" and e["pid"] == pid}
    fullest = set(np.argsort(-held.sum(axis=0), kind="stable")[:2].tolist())
    assert names == {"queue, fullest", "queue, mean", *(f"queue, PE {pe}" for pe in fullest)}


def test_the_network_tracks_are_the_timeline(traced, told):
    pid = pid_of(told, f"network {traced.result.network}")
    drawn = slices(told, pid)
    timeline = traced.result.timeline
    assert [e["name"] for e in drawn] == timeline["layer"].tolist()
    assert [e["ts"] for e in drawn] == pytest.approx(timeline["start_us"].tolist(), abs=0.0005001)
    ends = [e["ts"] + e["dur"] for e in drawn]
    assert ends == pytest.approx(timeline["end_us"].tolist(), abs=0.0005001)
    cycles = {e["name"]: e["args"]["cycles"] for e in drawn}
    assert cycles["first"] == traced.result.layers["cycles"][0]


def test_layers_from_dram_have_a_dma_track(network, tmp_path):
    streamed = trace(network, pes=8, weights_in="dram")
    told = written(streamed, tmp_path)
    pid = pid_of(told, f"network {streamed.result.network}")
    threads = named(told, "thread")
    dma = {e["name"]: e for e in slices(told, pid) if threads[pid, e["tid"]] == "DMA"}
    layers = {e["name"]: e for e in slices(told, pid) if threads[pid, e["tid"]] == "PE array"}
    assert set(dma) == {"first", "second"} == set(layers)
    for row in streamed.result.rows:
        layer, transfer = layers[row["name"]]["args"], dma[row["name"]]["args"]
        assert transfer["dram_bytes"] == row["dram_bytes"] > 0
        assert transfer["first_cycle"] == layer["first_cycle"]
        # The array is the faster one here: the transfer sets the pace.
        assert row["array_cycles"] < transfer["cycles"] == layer["cycles"]


def test_a_window_keeps_what_touches_it(one_layer, tmp_path):
    whole, part = (written(one_layer, tmp_path, window=window) for window in (None, (20, 40)))
    pid = pid_of(whole, "layer first")

    def touching(told, begin, end):
        return {
            (e["tid"], e["name"], json.dumps(e["args"])) for e in slices(told, pid)
            if e["args"]["first_cycle"] <= end
            and e["args"]["first_cycle"] + e["args"]["cycles"] > begin
        }  # fmt: skip

    assert touching(whole, 20, 40) == touching(part, 1, 10**9)
    us = one_layer.result.machine.cycle_us
    counters = [e for e in part["traceEvents"] if e["ph"] == "C"]
    times = [e["ts"] for e in counters]
    assert min(times) == pytest.approx(19 * us, abs=0.001)
    assert max(times) == pytest.approx(40 * us, abs=0.001)
    # After the window the counters say nothing more.
    assert {e["args"]["items"] for e in counters if e["ts"] == max(times)} == {0}


def test_a_window_begins_with_the_queues_as_they_are(one_layer, tmp_path):
    told = written(one_layer, tmp_path, window=(20, 21), queues=8, ruler="cycles")
    ((_, held),) = one_layer.traced[0].occupancy(20, 21)
    drawn = {e["name"]: e["args"]["items"] for e in told["traceEvents"]
             if e["ph"] == "C" and e["ts"] == 19}  # fmt: skip
    expected = {f"queue, PE {pe}": items for pe, items in enumerate(held[0].tolist())}
    assert drawn == expected | {
        "queue, fullest": held[0].max(), "queue, mean": pytest.approx(held[0].mean(), rel=1e-5)
    }  # fmt: skip


@pytest.mark.parametrize("window", [None, (10, 60)])
@pytest.mark.parametrize("queues", [0, 8])
def test_the_estimate_of_the_size_is_neither_too_small_nor_far_off(
    one_layer, tmp_path, window, queues
):
    layer = one_layer.traced[0]
    written(one_layer, tmp_path, window=window, queues=queues)
    size = (tmp_path / "trace.json").stat().st_size
    about = chrome.estimated_bytes(layer, chrome.scope_of(layer, window, queues))
    assert 0.9 * size < about < 2 * size


def test_names_that_json_has_to_quote(tmp_path):
    odd = 'fc"1\\ [é]'
    traced = trace(network_file(tmp_path, odd), pes=8, layer=odd)
    told = written(traced, tmp_path)
    assert f"layer {odd}" in named(told, "process").values()


def test_a_pass_says_which_one_it_is(network, tmp_path):
    x = np.random.default_rng(0).random((3, 60)).astype(np.float32)
    told = written(trace(network, activations=x, pes=8, vector=1, layer="first"), tmp_path)
    assert "layer first (vector 1 of 3)" in named(told, "process").values()


@pytest.mark.parametrize("clock_mhz", [800.0, 333.0, 1000.0, 0.5])
def test_edges_that_touch_touch_on_the_ruler(clock_mhz):
    ruler = Ruler("time", clock_mhz)
    edges = ruler.ns(np.arange(1000))
    assert (np.diff(edges) > 0).all()
    assert edges == pytest.approx(np.arange(1000) * 1000 / clock_mhz, abs=0.5)
    assert Ruler.us(1_234_567) == "1234.567"
    assert Ruler.us(5) == "0.005"
