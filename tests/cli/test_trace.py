"""`accelsim trace` as a user types it."""

import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

import accelsim
from accelsim import cli

PAGE = Path(__file__).parents[2] / "docs/traces.md"


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """(exit code, stdout, stderr) of `accelsim ...`, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["accelsim", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return leaving.value.code, *capsys.readouterr()

    return call


def blocks(language):
    text = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def test_every_command_of_the_page_writes_what_the_page_says(run):
    lines = [shlex.split(line) for line in "".join(blocks("sh")).splitlines()]
    assert len(lines) == 2
    for words in lines:
        code, out, _ = run(*words[1:])
        assert code == 0
        folder = Path(words[words.index("--out") + 1])
        named = re.findall(r"[a-z_]+\.(?:json|vcd|csv|png)", PAGE.read_text(encoding="utf-8"))
        wanted = {name for name in named if name != "wave.vcd" or "--window" in words}
        assert {path.name for path in folder.iterdir()} == wanted
        assert "PEs that stall ip1 the most" in out


def test_the_python_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"accelsim": accelsim}
    for block in blocks("python"):
        exec(compile(block, str(PAGE), "exec"), names)
    assert (tmp_path / "reports/ip1/wave.vcd").exists()
    assert len(names["trace"].stalls) == 16


def test_json_is_one_object_with_the_worst_pes(run):
    code, out, _ = run("trace", "lenet-300-100", "--set", "pes=16", "--json", "-o", "out")
    assert code == 0
    told = json.loads(out)
    assert [row["layer"] for row in told["layers"]] == ["ip1", "ip2", "ip3"]
    assert told["worst_pes"][0]["stall_cycles_caused"] > 0
    assert Path("out/trace.json").exists()
    assert "NaN" not in out


def test_a_vector_is_chosen_by_its_number(run):
    x = np.zeros((3, 784), dtype=np.float32)
    x[1, :400] = 1
    x[2, :9] = 1
    np.save("x.npy", x)
    for words, vector in (((), 1), (("--vector", 2), 2)):
        code, out, _ = run(
            "trace", "lenet-300-100", "-i", "x.npy", "--layer", "ip1", "--json", *words
        )
        assert code == 0
        (row,) = json.loads(out)["layers"]
        assert (row["vector"], row["vectors"]) == (vector, 3)
        assert row["broadcasts"] == int(x[vector].sum()) + 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--layer", "ip9"), "layer 'ip9': not in this network; did you mean 'ip"),
        (("--vector", "1"), "vector 1: layer 'ip1' has 1: give a number from 0 to 0"),
        (("--vector", "-1"), "vector -1: layer 'ip1' has 1"),
        (("--window", "1:5"), "window 1:5: counts the cycles of one layer: choose it with --layer"),
        (("--window", "5"), "--window 5: write FIRST:LAST, as in --window 100:400"),
        (("--window", "a:b"), "--window a:b: write FIRST:LAST"),
        (("--layer", "ip1", "--window", "9:3"), "window 9:3: layer 'ip1' has cycles 1 to"),
        (
            ("--layer", "ip1", "--window", "100:99999999"),
            "window 100:99999999: layer 'ip1' has cycles 1 to",
        ),
        (("--ruler", "feet"), "ruler 'feet': not known: use time or cycles"),
        (("--limit", "0.1"), "trace.json would have about"),
        (("--queues", "-1"), "Invalid value for '--queues'"),
        (("--set", "pis=3"), "machine: unknown field 'pis'"),
    ],
)
def test_a_mistake_is_one_line(run, words, message):
    code, out, err = run("trace", "lenet-300-100", "--out", "out", *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"accelsim: {message}")
    assert err.count("\n") == 1
    assert not Path("out").exists()
