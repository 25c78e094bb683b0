"""The command line: fast in this process, and as a process of its own where that matters."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import onnx
import pandas as pd
import pytest
from exact.layers import layer_of, reference_rows
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

import accelsim
from accelsim import cli
from accelsim.simulation.session import Session

COMMANDS = cli.COMMANDS
MAIN = [sys.executable, "-c", "from accelsim.cli import main; main()"]
REFERENCE = next(
    r for r in reference_rows() if r.recipe and r.pes == 32 and r.recipe["n_out"] < 500
)
NEEDED = {
    "name", "cycles", "latency_us", "pointer_reads", "sram_row_reads", "utilization_frac",
    "energy_pj",
}  # fmt: skip


def as_process(*arguments, **options):
    """(exit code, stdout, stderr) of a process of its own."""
    done = subprocess.run(
        [*MAIN, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        **options,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def run(monkeypatch, capsys):
    """(exit code, stdout, stderr) of `main`, in this process."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["accelsim", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return leaving.value.code, *capsys.readouterr()

    return call


@pytest.fixture
def fails(run):
    """Run what must fail: exit code 2, nothing on stdout, one line, which is returned."""

    def call(*arguments):
        code, out, err = run(*arguments)
        assert (code, out) == (2, "")
        return one_line(err)

    return call


def one_line(err):
    assert err.startswith("accelsim: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    return err.removeprefix("accelsim: ").rstrip("\n")


def prints_json(result):
    """The one object that stdout holds."""
    code, out, _ = result
    assert code == 0
    assert out.count("\n") == 1
    assert "NaN" not in out
    told = json.loads(out)
    assert isinstance(told, dict)
    return told


@pytest.fixture
def net(tmp_path):
    """A dense network with an input: 20 -> 30 -> 10."""
    rng = np.random.default_rng(0)
    path = tmp_path / "net.npz"
    np.savez(
        path,
        **{
            "fc1/weights": rng.standard_normal((30, 20)).astype(np.float32),
            "fc1/activations": rng.random(20).astype(np.float32),
            "fc2/weights": rng.standard_normal((10, 30)).astype(np.float32),
        },
    )
    return path


@pytest.fixture
def codes(tmp_path):
    """A layer of which the EIE authors' simulator was asked."""
    layer = layer_of(REFERENCE)
    path = tmp_path / "codes.npz"
    np.savez(
        path,
        codes=layer.codes,
        bias_codes=layer.bias_codes,
        codebook=layer.codebook,
        activations=layer.activations,
    )
    return path


@pytest.fixture
def model(tmp_path):
    """The same weights as ONNX and as arrays: 12 -> 8 -> 4."""
    rng = np.random.default_rng(1)
    arrays = {
        "w1": rng.standard_normal((8, 12)), "b1": rng.standard_normal(8),
        "w2": rng.standard_normal((4, 8)), "b2": rng.standard_normal(4),
    }  # fmt: skip
    arrays = {name: values.astype(np.float32) for name, values in arrays.items()}
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], transB=1, name="one"),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], transB=1, name="two"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 12])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(values, name) for name, values in arrays.items()],
    )
    path = tmp_path / "model.onnx"
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(made, path)
    return path, arrays


# --- help, version ---


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_that_names_the_command(command):
    result = CliRunner().invoke(cli.app, [command, "--help"], terminal_width=200)
    assert result.exit_code == 0
    assert re.search(rf"Example: .*accelsim {command} ", result.output)


def test_help_lists_all_commands(run):
    code, out, _ = run("--help")
    assert code == 0
    assert [command for command in COMMANDS if f" {command} " not in out] == []


def test_it_runs_as_a_module():
    done = subprocess.run(
        [sys.executable, "-m", "accelsim", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"accelsim {accelsim.__version__}\n"


def test_version(run):
    assert run("--version") == (0, f"accelsim {accelsim.__version__}\n", "")


# --- simulate ---


def test_simulate_prints_one_json_object_with_the_published_simulators_numbers(codes):
    """The contract for other programs, as they would run it."""
    arguments = ["simulate", codes, "--hardware", "eie-64", "--set", "pes=32"]
    arguments += ["--set", "queue_depth=4", "--set", "row_bits=64", "--json"]
    assert (REFERENCE.queue_depth, REFERENCE.row_entries * 8) == (4, 64)
    code, out, err = as_process(*arguments)
    assert err == ""
    (layer,) = prints_json((code, out, err))["layers"]
    assert set(layer) >= NEEDED
    for name in ("cycles", "pointer_reads", "sram_row_reads"):
        assert layer[name] == getattr(REFERENCE, name)
    assert layer["utilization_frac"] == pytest.approx(REFERENCE.utilization_frac, abs=1e-6)
    assert layer["latency_us"] == pytest.approx(REFERENCE.cycles / 800)
    assert layer["energy_pj"] > 0


def test_simulate_tells_what_the_python_function_tells(run, codes):
    options = {"pes": 32, "queue_depth": 4, "row_bits": 128}
    settings = [word for name, value in options.items() for word in ("--set", f"{name}={value}")]
    told = prints_json(run("simulate", codes, "--hardware", "eie-64", *settings, "--json"))
    result = accelsim.simulate(codes, "eie-64", **options)
    assert told == json.loads(json.dumps(result.as_dict()))


def test_simulate_writes_csv_that_add_up(run, net, tmp_path):
    told = prints_json(run("simulate", net, "--csv", tmp_path / "out", "--json"))
    tables = {path.stem: pd.read_csv(path) for path in (tmp_path / "out").iterdir()}
    assert set(tables) == {"layers", "steps", "pes", "energy", "area"}
    assert tables["layers"]["cycles"].tolist() == [row["cycles"] for row in told["layers"]]
    assert len(tables["pes"]) == 2 * 64
    assert tables["energy"]["energy_pj"].sum() == pytest.approx(told["energy_pj"])
    assert tables["area"]["area_mm2"].sum() == pytest.approx(told["area_mm2"])


def test_simulate_shows_a_table_and_puts_notes_on_stderr(run, model):
    code, out, err = run("simulate", model[0])
    assert code == 0
    assert "one" in out
    assert "note: layer 'one': no input was given" in err
    assert "note:" not in out


# --- compress, inspect ---


def test_compress_says_that_activations_are_not_kept(run, tmp_path):
    weights = np.eye(4, dtype=np.float32)
    np.savez(tmp_path / "a.npz", weights=weights, activations=np.ones(4, dtype=np.float32))
    code, _, err = run("compress", tmp_path / "a.npz", "-o", tmp_path / "a.safetensors")
    assert code == 0
    assert "activations of" in err
    assert "--input" in err
    np.savez(tmp_path / "b.npz", weights=weights)
    _, _, err = run("compress", tmp_path / "b.npz", "-o", tmp_path / "b.safetensors")
    assert "activations" not in err


@pytest.mark.parametrize("kind", ["onnx", "npz"])
def test_compress_inspect_simulate_through_files(run, model, tmp_path, kind):
    source, arrays = model
    if kind == "npz":
        source = tmp_path / "model.npz"
        fields = {"weights": "w", "bias": "b"}
        np.savez(
            source,
            **{
                f"{name}/{field}": arrays[f"{letter}{number}"]
                for number, name in ((1, "one"), (2, "two"))
                for field, letter in fields.items()
            },
        )
    artifact = tmp_path / "small.safetensors"
    options = ["--density", "one=0.5", "--density", "two=0.25"]
    written = prints_json(run("compress", source, *options, "-o", artifact, "--json"))
    told = prints_json(run("inspect", artifact, "--json"))
    assert told == written
    # Float32 weights and biases.
    assert told["dense_bytes"] == 4 * (8 * 12 + 4 * 8 + 8 + 4)
    assert told["compression_ratio"] == pytest.approx(
        told["dense_bytes"] / told["size_bytes"], rel=0.01
    )
    assert [layer["layer"] for layer in told["layers"]] == ["one", "two"]
    assert [layer["kept_pct"] for layer in told["layers"]] == [50, 25]
    assert told["file_bytes"] == artifact.stat().st_size
    np.save(tmp_path / "x.npy", np.ones(12, dtype=np.float32))
    result = prints_json(
        run("simulate", artifact, "-i", tmp_path / "x.npy", "-s", "pes=2", "--json")
    )
    assert [layer["n_out"] for layer in result["layers"]] == [8, 4]
    # Every weight that was kept and meets a non-zero input: here all 48 of the first layer.
    first = result["layers"][0]
    assert first["entries"] - first["padding_entries"] == 8 * 12 // 2 + 8


def test_compress_stores_layers_as_asked(run, model, tmp_path):
    artifact = tmp_path / "small.safetensors"
    widths = ["--code-bits", "3", "--code-bits", "two=2", "--index-bits", "one=0"]
    told = prints_json(
        run("compress", model[0], *widths, "--order", "row", "-o", artifact, "--json")
    )
    one, two = told["layers"]
    assert (one["weight_bits_pq"], two["weight_bits_pq"]) == (3, 2)
    assert (one["index_bits_pq"], two["index_bits_pq"]) == (0, 6)
    assert (one["order"], two["order"]) == ("row", "row")
    fit = ["--index-bits", "fit", "--order", "fit"]
    smaller = prints_json(run("compress", model[0], *widths[:4], *fit, "-o", artifact, "--json"))
    assert smaller["size_bytes"] <= told["size_bytes"]
    assert smaller["size_bytes"] + smaller["header_bytes"] == artifact.stat().st_size


def test_compress_copies_what_is_compressed_already(run, net, tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    prints_json(run("compress", net, "-o", first, "--json"))
    prints_json(run("compress", first, "-o", second, "--json"))
    assert first.read_bytes() == second.read_bytes()


# --- sweep ---


@pytest.fixture
def runs(monkeypatch):
    """Machines that are really run."""
    machines, original = [], Session.run

    def counted(self, machine):
        machines.append((machine.pes, machine.queue_depth))
        return original(self, machine)

    monkeypatch.setattr(Session, "run", counted)
    return machines


SWEEP = ("-v", "pes=1,2,4", "-v", "queue_depth=2,8", "--json")


def test_sweep_writes_tables_and_a_picture(run, net, tmp_path):
    out = tmp_path / "sweep"
    code, stdout, err = run("sweep", net, *SWEEP, "-o", out)
    assert err == ""
    points = prints_json((code, stdout, err))["points"]
    assert {p.name for p in out.iterdir()} == {
        "sweep.csv",
        "points.csv",
        "sweep.png",
        "points.jsonl",
    }
    frame = pd.read_csv(out / "sweep.csv")
    assert frame["cycles"].tolist() == [point["cycles"] for point in points]
    summed = pd.read_csv(out / "points.csv")
    assert len(summed) == 6
    assert summed["cycles"].sum() == frame["cycles"].sum()
    assert (out / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_sweep_goes_on_where_it_stopped(run, net, tmp_path, runs):
    out = tmp_path / "sweep"
    first = prints_json(run("sweep", net, *SWEEP, "-o", out))
    assert len(runs) == 6
    store = out / "points.jsonl"
    lines = store.read_text().splitlines(keepends=True)
    store.write_text("".join(lines[:4]) + lines[4][: len(lines[4]) // 2])
    runs.clear()
    assert prints_json(run("sweep", net, *SWEEP, "-o", out)) == first
    assert runs == [(2, 8), (4, 2), (4, 8)]
    runs.clear()
    assert prints_json(run("sweep", net, *SWEEP, "-o", out)) == first
    assert runs == []
    assert prints_json(run("sweep", net, *SWEEP, "-o", out, "--afresh")) == first
    assert len(runs) == 6


def test_sweep_takes_none_as_a_value_and_prints_null(run, net, tmp_path):
    arguments = ["sweep", net, "-v", "activation_frac_bits=none,8", "-o", tmp_path / "s", "--json"]
    points = prints_json(run(*arguments))["points"]
    assert [point["activation_frac_bits"] for point in points] == [None, None, 8, 8]
    assert len(pd.read_csv(tmp_path / "s" / "points.csv")) == 2


def test_a_sweep_that_is_interrupted_says_so_and_goes_on_afterwards(net, tmp_path):
    out = tmp_path / "sweep"
    # The fourth point never ends.
    slow = (
        "import time\n"
        "from accelsim.simulation.session import Session\n"
        "run, n = Session.run, []\n"
        "def slow(self, machine):\n"
        "    n.append(1)\n"
        "    while len(n) > 3: time.sleep(0.01)\n"
        "    return run(self, machine)\n"
        "Session.run = slow\n"
        "from accelsim.cli import main; main()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", slow, "sweep", net, *SWEEP, "-o", out],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        store, deadline = out / "points.jsonl", time.monotonic() + 60
        while not (store.exists() and len(store.read_text().splitlines()) == 4):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        stdout, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert one_line(err) == "interrupted"
    code, stdout, err = as_process("sweep", net, *SWEEP, "-o", out)
    assert len(prints_json((code, stdout, err))["points"]) == 12
    assert len(store.read_text().splitlines()) == 7


# --- compare, measure ---


def test_compare_prints_null_for_what_nobody_measured(run, net, tmp_path):
    record = tmp_path / "cpu.json"
    prints_json(run("measure", "cpu", net, "--repetitions", 3, "-o", record, "--json"))
    arguments = ["compare", net, "--no-measure", "--with", record, "--json"]
    told = prints_json(run(*arguments))
    measured = [row for row in told["systems"] if row["kind"] == "measured"]
    assert {row["layer"] for row in measured} == {"fc1", "fc2", "total"}
    if "not measured" in measured[0]["note"]:
        assert measured[0]["energy_uj"] is None
        assert measured[0]["energy_ratio"] is None
    simulated = [row for row in told["systems"] if row["kind"] == "simulated"]
    assert simulated[0]["energy_ratio"] == 1
    single = prints_json(run(*arguments, "--layer", "fc2"))
    assert {row["layer"] for row in single["systems"]} == {"fc2"}


def test_compare_writes_its_folder(run, net, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, _ = run("compare", net, "--no-measure", "--out", tmp_path / "c")
    assert code == 0
    assert "weights in SRAM" in out
    assert {p.name for p in (tmp_path / "c").iterdir()} == {
        "comparison.csv", "energy.csv", "comparison.png", "energy.png", "index.html",
    }  # fmt: skip


# --- errors: one line, exit code 2, nothing on stdout ---


def test_files_that_cannot_be_used(fails, net, tmp_path):
    assert "no such file" in fails("simulate", tmp_path / "none.npz")
    (tmp_path / "a.txt").write_text("x")
    assert "a.txt: has '.txt': give one of .npz" in fails("inspect", tmp_path / "a.txt")
    weights = np.full((3, 3), np.nan, dtype=np.float32)
    np.savez(tmp_path / "nan.npz", weights=weights)
    assert "nan.npz: layer 'nan': weights: 9 of 9" in fails("simulate", tmp_path / "nan.npz")
    np.save(tmp_path / "x.npy", np.ones(7, dtype=np.float32))
    message = fails("simulate", net, "--input", tmp_path / "x.npy")
    assert "layer 'fc1' have shape (7,): give [20]" in message
    assert "none.npy: no such file" in fails("simulate", net, "-i", tmp_path / "none.npy")
    assert "none.json: cannot be read" in fails("compare", net, "--with", tmp_path / "none.json")


@pytest.mark.parametrize("part", [0.1, 0.5, 0.99])
def test_a_truncated_artifact(fails, run, net, tmp_path, part):
    artifact = tmp_path / "a.safetensors"
    assert run("compress", net, "-o", artifact)[0] == 0
    content = artifact.read_bytes()
    artifact.write_bytes(content[: int(part * len(content))])
    assert "a.safetensors" in fails("simulate", artifact)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-s", "pess=3"], "unknown field 'pess'; did you mean 'pes'?"),
        (["-s", "pes=many"], "pes='many': input should be a valid integer"),
        (["-s", "pes=0"], "pes='0'"),
        (["-s", "pes"], "--set pes: write field=value"),
        (
            ["-m", "eie-65"],
            "hardware 'eie-65': no such machine (a file's name ends in .toml); did you mean 'eie-64'?",
        ),
        (["-m", "none.toml"], "none.toml: no such file"),
        # Names of other arguments of the Python functions.
        (["-s", "seed=3"], "unknown field 'seed'"),
        (["-s", "self=3"], "unknown field 'self'"),
        (["-s", "network=x"], "unknown field 'network'"),
        (["-s", "hardware=x"], "unknown field 'hardware'"),
    ],
)
def test_machine_settings(fails, net, arguments, message):
    assert message in fails("simulate", net, *arguments)


def test_a_network_that_does_not_fit(fails, net):
    """fc1 has 600 weights, all kept: 600 bytes in one PE, in rows of eight."""
    message = fails("simulate", net, "-s", "pes=1", "-s", "weight_sram_bytes=512")
    for words in ("layer 'fc1' needs 600 bytes of weight SRAM per PE", "has 512", "overflow=grow"):
        assert words in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-d", "abc"], "--density abc: write a fraction, or layer=fraction"),
        (["-d", "0.5", "-d", "0.2"], "--density 0.2: is the second for all layers: give one"),
        (["-d", "2"], "density=2.0: input should be less than or equal to 1"),
        (["-d", "fc9=0.5"], "fc9"),
        (["-d", "=0.2"], "--density =0.2: names no layer: write layer=fraction, or a fraction"),
        (["--scope", "all"], "scope='all'"),
        (["--code-bits", "x"], "--code-bits x: write a number of bits, or fit, or layer=bits"),
        (["--code-bits", "=4"], "--code-bits =4: names no layer: write layer=bits, or a number"),
        (["--code-bits", "9"], "code_bits=9: input should be less than or equal to 8"),
        (["--index-bits", "fc9=4"], "index_bits: no layer 'fc9'; the layers are fc1, fc2"),
        (["--index-bits", "4", "--index-bits", "fit"], "--index-bits fit: is the second for all"),
        (["--order", "rows"], "order='rows': input should be 'column', 'row' or 'fit'"),
    ],
)
def test_compress_options(fails, net, tmp_path, arguments, message):
    assert message in fails("compress", net, *arguments, "-o", tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.npz", "a.npz: an artifact's name ends in .safetensors: rename it"),
        ("folder.safetensors", "folder.safetensors: is a folder: give the name of a file"),
        ("missing/a.safetensors", "a.safetensors: there is no folder"),
    ],
)
def test_where_an_artifact_cannot_go_is_refused_before_any_work(
    fails, net, tmp_path, monkeypatch, name, message
):
    (tmp_path / "folder.safetensors").mkdir()
    monkeypatch.setattr("accelsim.compression.loading.load", None)
    assert message in fails("compress", net, "-o", tmp_path / name)


@pytest.mark.parametrize("option", [["-d", "0.5"], ["--code-bits", "2"], ["--bias", "exact"]])
def test_a_compressed_network_is_not_compressed_again(fails, run, net, tmp_path, option):
    artifact = tmp_path / "a.safetensors"
    assert run("compress", net, "-o", artifact)[0] == 0
    message = fails("compress", artifact, *option, "-o", tmp_path / "b.safetensors")
    assert "a.safetensors: is compressed already" in message
    assert not (tmp_path / "b.safetensors").exists()


@pytest.mark.parametrize("output", [["--out", "c"], ["--json"], []])
def test_an_unknown_layer_of_compare(fails, net, tmp_path, monkeypatch, output):
    monkeypatch.chdir(tmp_path)
    message = fails("compare", net, "--no-measure", "--layer", "fc9", *output)
    assert message == "--layer fc9: no such layer; the layers are fc1, fc2, total"
    assert not (tmp_path / "c").exists()


def test_a_record_of_another_network(fails, run, net, codes, tmp_path):
    record = tmp_path / "cpu.json"
    assert run("measure", "cpu", codes, "--repetitions", 3, "-o", record)[0] == 0
    message = fails("compare", net, "--no-measure", "--with", record)
    assert message.startswith("the measurement of 'codes' has layer 'codes' (100x784)")


def test_a_file_where_a_folder_should_be(fails, net, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    for command in (
        ["simulate", net, "--csv", file],
        ["sweep", net, "-v", "pes=1", "-o", file],
        ["compare", net, "--no-measure", "-o", file],
        ["demo", "--no-measure", "-o", file],
    ):
        assert fails(*command) == f"{file}: cannot make this folder: File exists"
    message = fails("compress", net, "-o", file / "a.safetensors")
    assert "there is no folder" in message
    assert file.read_text() == "mine"


@pytest.mark.parametrize("wrong", ["store=x", "progress=1", "pes"])
def test_sweep_settings(fails, net, tmp_path, wrong):
    assert fails("sweep", net, "-v", "pes=1", "-s", wrong, "-o", tmp_path / "s")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("varied", "message"),
    [
        ("pes=", "--vary pes=: write field=value, as in --vary pes=32"),
        ("pes=1,,2", "--vary pes=1,,2: has an empty value: write pes=a,b,c"),
        ("pes=1,", "--vary pes=1,: has an empty value"),
    ],
)
def test_an_empty_value_is_answered_with_the_option(fails, net, tmp_path, varied, message):
    assert fails("sweep", net, "-v", varied, "-o", tmp_path / "s").startswith(message)
    assert not (tmp_path / "s").exists()


def test_a_folder_in_place_of_the_store_is_never_removed(fails, net, tmp_path):
    (tmp_path / "points.jsonl").mkdir()
    for words in ([], ["--afresh"]):
        message = fails("sweep", net, "-v", "pes=1", "-o", tmp_path, *words)
        assert "points.jsonl: damaged sweep store, a folder" in message


def test_a_store_of_another_network(fails, run, net, codes, tmp_path):
    assert run("sweep", codes, "-v", "pes=1", "-o", tmp_path / "s")[0] == 0
    message = fails("sweep", net, "-v", "pes=1", "-o", tmp_path / "s")
    assert "points.jsonl: holds a sweep of another network" in message
    assert run("sweep", net, "-v", "pes=1", "-o", tmp_path / "s", "--afresh")[0] == 0


# --- a disk that is full ---


def with_file_limit(n_bytes, *arguments):
    """Run where no file can grow beyond that many bytes, as on a full disk."""
    return as_process(
        *arguments,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes)),
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )


@pytest.mark.parametrize(
    ("arguments", "name", "limit"),
    [
        (["compress", "-o", "out/a.safetensors"], "a.safetensors", 1000),
        (["compare", "--no-measure", "-o", "out"], "comparison.csv", 1000),
        (["compare", "--no-measure", "-o", "out"], "comparison.png", 80000),
        (["sweep", "-v", "pes=1,2,4", "-o", "out"], "points.jsonl", 4000),
        (["sweep", "-v", "pes=1,2,4", "-o", "out"], "sweep.png", 16000),
        (["simulate", "--csv", "out"], "layers.csv", 200),
    ],
)
def test_a_full_disk_leaves_nothing_half_written(
    net, tmp_path, arguments, name, limit, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    old = "old" if name != "points.jsonl" else ""
    (out / name).write_text(old)
    command, *options = arguments
    code, stdout, err = with_file_limit(limit, command, net, *options)
    assert (code, stdout) == (2, "")
    assert f"{name}: cannot write: File too large" in one_line(err)
    assert [path.name for path in out.iterdir() if path.name.startswith(".")] == []
    if name != "points.jsonl":
        assert (out / name).read_text() == old
        return
    # The sweep keeps what was done, and goes on from there.
    kept = (out / name).read_text().count("\n") - 1
    assert kept >= 1
    code, stdout, err = as_process("sweep", net, *options, "--json")
    assert len(prints_json((code, stdout, err))["points"]) == 6
