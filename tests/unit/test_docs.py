"""Every command and every Python block of the README and the guide runs as it stands there."""

import os
import re
import shlex
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
import pytest
from exact.layers import data_dir
from onnx import TensorProto, helper, numpy_helper

import accelsim
from accelsim import cli
from accelsim.baseline.measured.cpu import measure_cpu
from accelsim.study import compare, measure

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/guide.md")
PAGES_OF_COMMANDS = (
    *PAGES,
    "docs/decoders.md",
    "docs/system.md",
    "docs/traces.md",
)
SIZES = (40, 30, 20, 10)  # the tiny network that stands for the reader's own


def blocks(page, language):
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(page):
    lines = "".join(blocks(page, "sh")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("accelsim ")]


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """A reader's folder: model.onnx with layers fc1 to fc3, inputs x.npy and data.npz for it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    nodes, tensors = [], []
    for i, (n_in, n_out) in enumerate(pairwise(SIZES), start=1):
        weights = rng.standard_normal((n_out, n_in)).astype(np.float32)
        tensors.append(numpy_helper.from_array(weights, f"w{i}"))
        before, after = ("x" if i == 1 else f"r{i - 1}"), ("y" if i == 3 else f"h{i}")
        nodes.append(helper.make_node("Gemm", [before, f"w{i}"], [after], name=f"fc{i}", transB=1))
        if i < 3:
            nodes.append(helper.make_node("Relu", [f"h{i}"], [f"r{i}"]))
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size])
        for name, size in (("x", SIZES[0]), ("y", SIZES[-1]))
    ]
    graph = helper.make_graph(nodes, "model", ends[:1], ends[1:], tensors)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        "model.onnx",
    )
    examples = rng.normal(size=(100, SIZES[0])).astype(np.float32)
    labels = rng.integers(SIZES[-1], size=100)
    np.savez(
        "data.npz",
        train_inputs=examples,
        train_labels=labels,
        inputs=examples[:20],
        labels=labels[:20],
    )
    x = rng.exponential(size=(2, SIZES[0])).astype(np.float32)
    x[:, ::2] = 0
    np.save("x.npy", x)
    return x


@pytest.fixture
def real_data(tmp_path, monkeypatch):
    """What the pages take from elsewhere: MNIST, and the published SqueezeNet with an image."""
    data = data_dir()
    if data is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no MNIST, no SqueezeNet")
    monkeypatch.setenv("ACCELSIM_DATA", str(data.resolve()))
    for path in (data / "squeezenet").resolve().iterdir():
        (tmp_path / path.name).symlink_to(path)
    image = np.random.default_rng(1).normal(0, 60, (3, 227, 227))
    np.save(tmp_path / "image.npy", image.astype(np.float32))


@pytest.fixture
def quick(monkeypatch):
    """Measurements that stop after a few samples."""
    quickly = partial(measure_cpu, budget_s=0.02)
    for module in (compare, measure):
        monkeypatch.setattr(module, "measure_cpu", quickly)


def run(words, monkeypatch):
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as leaving:
        cli.main()
    assert leaving.value.code == 0, " ".join(words)


@pytest.mark.parametrize("page", PAGES_OF_COMMANDS)
@pytest.mark.usefixtures("reader", "quick", "real_data")
def test_every_command_runs_in_the_order_of_the_page(page, monkeypatch, capsys):
    # Papers take half a minute each, and are computed by tests/unit/study/reproduce.
    lines = [
        words
        for words in commands(page)
        if "--recipe" not in words
        and words[1] != "reproduce"
        and "reports/reference/" not in str(words)
    ]
    assert len(lines) >= (6 if page in PAGES else 1)
    for words in lines:
        if words[1] == "measure":  # a large network takes minutes
            words = ["model.safetensors" if w == "alexnet_fc" else w for w in words]  # noqa: PLW2901
        monkeypatch.setenv("COLUMNS", "100")
        run([os.path.expandvars(word) for word in words], monkeypatch)
        assert capsys.readouterr().out
        if "-o" in words or "--out" in words:
            written = words[words.index("-o" if "-o" in words else "--out") + 1]
            assert Path(written).exists()


@pytest.mark.usefixtures("reader")
def test_the_command_of_the_readme_that_retrains_runs(monkeypatch):
    pytest.importorskip("torch", reason="the command retrains")
    (words,) = [words for words in commands("README.md") if "--recipe" in words]
    run(words, monkeypatch)
    assert accelsim.load("model.safetensors").provenance["training"]["epochs"] > 0


def test_the_densities_of_the_guide_are_those_that_it_says(reader, monkeypatch):
    run(commands("docs/guide.md")[0], monkeypatch)
    kept = {
        layer.name: layer.sizes.as_row()["kept_pct"]
        for layer in accelsim.load("model.safetensors").layers
    }
    assert kept == {"fc1": 10.0, "fc2": 10.0, "fc3": 25.0}
    assert reader.shape == (2, SIZES[0])


@pytest.mark.parametrize("page", PAGES)
def test_every_python_block_runs(page, reader, monkeypatch):
    run(shlex.split("accelsim compress model.onnx -o model.safetensors"), monkeypatch)
    names = {"accelsim": accelsim, "x": reader}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), names)
    assert names["result"].outputs.shape == (2, SIZES[-1])
    assert len(names["frame"]) == 12 * (len(SIZES) - 1)


@pytest.mark.usefixtures("quick")
def test_the_page_on_compression_can_be_followed_word_for_word(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch", reason="the page begins with a module of PyTorch")
    pytest.importorskip("sklearn", reason="the page takes scikit-learn's digits")
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs/compression.md").read_text(encoding="utf-8")
    names = {}
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        if language == "python":
            exec(compile(block, "docs/compression.md", "exec"), names)
        elif language == "toml":
            Path("mine.toml").write_text(block, encoding="utf-8")
        for line in block.splitlines():
            if language == "sh" and line.startswith("accelsim "):
                run(shlex.split(line), monkeypatch)
                assert capsys.readouterr().out
    reached = names["compressed"].provenance["training"]
    assert reached["test_compressed_error_pct"] <= reached["test_dense_error_pct"] + 0.6
    assert accelsim.inspect("digits.safetensors").compression_ratio > 15
    assert {p.name for p in Path("pictures").iterdir()} >= {"weights.png", "huffman.png"}
    chained = accelsim.compress(names["network"], "mine.toml", data="digits.npz")
    assert [layer.name for layer in chained.layers] == ["0", "4.v", "4.u", "7"]
    assert chained.provenance["training"]["test_compressed_error_pct"] < 10


def test_dense_weights_on_squeezenet_take_what_the_pages_say():
    """In EIE's memories dense weights take less energy, in memories made for the network more."""
    data = data_dir()
    if data is None:
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no SqueezeNet")

    def run(technology, decoder, **sizes):
        return accelsim.simulate(
            data / "squeezenet" / "compressed_SqueezeNet.net",
            technology=technology,
            decoder=decoder,
            overflow="grow",
            **sizes,
        ).total

    def less_pct(a, b):
        return 100 * (1 - a["energy_pj"] / b["energy_pj"])

    text, readme = (
        " ".join((ROOT / page).read_text(encoding="utf-8").split())
        for page in ("docs/machine.md", "README.md")
    )
    dense_less = re.search(
        r"take (\d+) % more cycles but (\d+) % less energy .*? \((\d+) % less .*?, (\d+) % with",
        text,
    ).groups()
    compressed_less = re.search(
        r"compressed weights take (\d+) % less energy than dense ones \((\d+) and (\d+) %\)", text
    ).groups()
    assert f"{dense_less[1]} % less energy with dense weights (and {dense_less[0]} % more" in readme
    assert f"it takes {compressed_less[0]} % less compressed" in readme
    technologies = ("45nm", "45nm-cacti", "45nm-horowitz")
    of_eie = [[run(name, decoder) for decoder in ("fixed", "dense")] for name in technologies]
    fixed, dense = of_eie[0]
    assert dense_less[0] == f"{100 * (dense['cycles'] / fixed['cycles'] - 1):.0f}"
    assert dense_less[1:] == tuple(f"{less_pct(dense, fixed):.0f}" for fixed, dense in of_eie)
    made = {"weight_sram_bytes": 1, "pointer_sram_bytes": 1}
    made_for_it = [
        less_pct(run(name, "fixed", **made), run(name, "dense", **made)) for name in technologies
    ]
    assert compressed_less == tuple(f"{pct:.0f}" for pct in made_for_it)


def test_the_guide_names_every_column_of_the_layers():
    guide = (ROOT / "docs/guide.md").read_text(encoding="utf-8")
    columns = accelsim.simulate("lenet-300-100").layers.columns
    assert [name for name in columns if f"`{name}`" not in guide] == []


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        *(str(p.relative_to(ROOT)) for p in ROOT.glob("docs/**/*.md")),
    ],
)
def test_links_within_the_repository_lead_somewhere(page):
    path = ROOT / page
    for target in re.findall(r"\]\(([^)#]+)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target
