import json
import sys

import numpy as np
import pytest

from accelsim import cli
from accelsim.baseline.measured import cpu, torch_backend


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command line: exit code, stdout, stderr."""
    monkeypatch.setattr(cpu, "flush_bytes", lambda _: 100_000)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["accelsim", *map(str, words)])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        out, err = capsys.readouterr()
        return leaving.value.code, out, err

    return call


@pytest.fixture
def net(tmp_path):
    """A file with two small layers."""
    rng = np.random.default_rng(0)
    shapes = {"one/weights": (30, 40), "two/weights": (10, 30)}
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    np.savez(tmp_path / "net.npz", **arrays)
    return tmp_path / "net.npz"


def test_a_record_and_what_compare_makes_of_it(run, net, tmp_path):
    record = tmp_path / "cpu.json"
    code, out, _ = run("measure", "cpu", net, "--repetitions", 3, "-o", record)
    assert code == 0
    assert "net on " in out
    kernels = json.loads(record.read_text())["layers"][0]["kernels"]
    assert [kernel["batch"] for kernel in kernels] == sorted(5 * [1, 64])
    arguments = ("compare", net, "--no-measure", "--with", record, "--json")
    code, out, _ = run(*arguments)
    systems = {row["system"] for row in json.loads(out)["systems"] if row["kind"] == "measured"}
    assert len(systems) == 5 * 2 * 2  # kernels, batches, cold and warm
    record.write_text(record.read_text().replace('"cpu": "', '"cpu": "Other '))
    code, out, _ = run(*arguments)
    systems = {row["system"] for row in json.loads(out)["systems"] if row["kind"] == "measured"}
    assert all(system.startswith("another machine: Other ") for system in systems)


def test_one_batch_as_json(run, net):
    code, out, _ = run("measure", "cpu", net, "--repetitions", 3, "--batch", "2", "--json")
    assert code == 0
    kernels = json.loads(out)["layers"][0]["kernels"]
    assert {kernel["batch"] for kernel in kernels} == {2}


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ("1,,2", "--batch 1,,2: write sizes as in --batch 1,64"),
        ("many", "--batch many: write sizes"),
        ("-1", "--batch -1: write sizes"),
        ("0", "measure: batch=0: give 1 or more"),
        ("4,4", "measure: batches: give one or more, each once"),
    ],
)
def test_batches_that_are_none(run, batch, message):
    code, out, err = run("measure", "cpu", "lenet-300-100", "--batch", batch)
    assert (code, out) == (2, "")
    assert err.startswith(f"accelsim: {message}")
    assert err.count("\n") == 1


def test_a_gpu_without_torch_is_one_line(run, monkeypatch):
    monkeypatch.setattr(torch_backend, "find_spec", lambda _: None)
    code, out, err = run("measure", "gpu", "lenet-300-100")
    assert (code, out) == (2, "")
    assert err == "accelsim: measure gpu: PyTorch is not installed: pip install 'accelsim[gpu]'\n"


def test_a_gpu_that_is_not_there_is_one_line(run, monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    code, _, err = run("measure", "gpu", "lenet-300-100")
    assert code == 2
    assert err.startswith("accelsim: measure gpu: torch finds no CUDA GPU")
    assert err.count("\n") == 1
