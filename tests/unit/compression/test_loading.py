import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from accelsim.compression.artifact import save
from accelsim.compression.compressor import compress
from accelsim.compression.layer import CompressedNetwork
from accelsim.compression.loading import load
from accelsim.errors import AccelsimError, FileFormatError, InputError
from accelsim.network.bundled import bundled_models
from accelsim.network.layers import Layer, Network

WEIGHTS = np.array([[0, 1, -2], [0.5, 0, 0]], np.float32)


def write_npz(path):
    with path.open("wb") as file:  # a name would get another suffix
        np.savez(file, weights=WEIGHTS)


def write_codes(path):
    with path.open("wb") as file:
        np.savez(file, codes=np.uint8([[0, 2, 1], [3, 0, 0]]), codebook=np.float32([0, -2, 1, 0.5]))


def write_safetensors(path):
    entry = {"dtype": "F32", "shape": WEIGHTS.shape, "data_offsets": [0, WEIGHTS.nbytes]}
    header = json.dumps({"fc.weight": entry}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + WEIGHTS.tobytes())


def write_artifact(path):
    made = save(
        compress(Network("net", (Layer("fc", WEIGHTS.copy()),))), path.with_suffix(".safetensors")
    )
    made.rename(path)


def write_onnx(path):
    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "fc.weight"], ["y"], transB=1)],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 2])],
        [numpy_helper.from_array(WEIGHTS, "fc.weight")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


DENSE = {".npz": write_npz, ".safetensors": write_safetensors, ".onnx": write_onnx}
COMPRESSED = {".npz": write_codes, ".safetensors": write_artifact}


@pytest.mark.parametrize("as_type", [str, Path])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("suffix", DENSE)
def test_dense_files_of_every_format(tmp_path, suffix, upper, as_type):
    path = tmp_path / f"net{suffix.upper() if upper else suffix}"
    DENSE[suffix](path)
    network = load(as_type(path))
    assert isinstance(network, Network)
    assert np.array_equal(network.layers[0].weights, WEIGHTS)


@pytest.mark.parametrize("as_type", [str, Path])
@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("suffix", COMPRESSED)
def test_compressed_files_of_every_format(tmp_path, suffix, upper, as_type):
    path = tmp_path / f"net{suffix.upper() if upper else suffix}"
    COMPRESSED[suffix](path)
    network = load(as_type(path))
    assert isinstance(network, CompressedNetwork)
    assert np.array_equal(network.layers[0].dense_weights(), WEIGHTS)


@pytest.mark.parametrize("name", sorted(bundled_models()))
def test_bundled_networks_go_by_their_names(name):
    network = load(name)
    assert len(network.layers) >= 1
    assert network.layers[0].n_in > 0


def test_the_bundled_benchmark_networks_are_there():
    assert {"alexnet_fc", "vgg16_fc", "neuraltalk"} <= set(bundled_models())
    network = load("alexnet_fc")
    assert isinstance(network, Network)
    # EIE, table III.
    shapes = [(layer.n_in, layer.n_out) for layer in network.layers]
    assert shapes == [(9216, 4096), (4096, 4096), (4096, 1000)]
    assert all(layer.weights is None for layer in network.layers)


def test_a_file_goes_before_a_bundled_name_and_a_folder_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bundled = tmp_path / "alexnet_fc"
    bundled.mkdir()
    assert load("alexnet_fc").name == "alexnet_fc"
    shutil.rmtree(bundled)
    bundled.write_text("")
    with pytest.raises(InputError, match="has no suffix"):
        load("alexnet_fc")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("alexnet-fc", "no such file: .*did you mean 'alexnet_fc'"),
        ("nothing", "the bundled networks are .*vgg16_fc"),
        ("missing.safetensors", "missing.safetensors: no such file"),
        ("missing.npz", "missing.npz: no such file"),
        ("x" * 300, "cannot be opened|no such file"),
        ("", ""),
    ],
)
def test_what_is_not_there(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message or "is a directory") as caught:
        load(name)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("path", [None, 3, b"net.npz"])
def test_what_is_no_path(path):
    with pytest.raises(InputError, match="give a path or a bundled name"):
        load(path)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors", ".onnx", ".toml", ".bin", ""])
@pytest.mark.parametrize("content", [b"", b"\0", b"\xff" * 100, b"{}" * 40])
def test_garbage_of_any_name_is_refused(tmp_path, suffix, content):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    with pytest.raises(AccelsimError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_directory_is_refused(tmp_path):
    (tmp_path / "net.safetensors").mkdir()
    with pytest.raises(InputError, match="is a directory"):
        load(tmp_path / "net.safetensors")


def test_a_damaged_artifact_is_not_taken_for_a_dense_network(tmp_path):
    path = tmp_path / "net.safetensors"
    write_artifact(path)
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(FileFormatError, match="damaged artifact"):
        load(path)
