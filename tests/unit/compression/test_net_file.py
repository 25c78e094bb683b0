"""`.net` files: written and decoded here once more, byte by byte, and the one that was published."""

import struct

import matplotlib as mpl
import numpy as np
import pytest
from exact.layers import data_dir
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import accelsim
from accelsim.compression.net_file import load_net
from accelsim.errors import AccelsimError, FileFormatError, InputError, NetworkError

PROTOTXT = """
name: "tiny" input: "data" input_dim: 1 input_dim: 2 input_dim: 6 input_dim: 6
layer { name: "a" type: "Convolution" bottom: "data" top: "a"
  convolution_param { num_output: 3 kernel_size: 3 } }
layer { name: "relu" type: "ReLU" bottom: "a" top: "a" }
layer { name: "b/1x1" type: "Convolution" bottom: "a" top: "b"
  convolution_param { num_output: 2 kernel_size: 1 bias_term: false } }
"""
SHAPES = {"a": (3, 18), "b/1x1": (2, 3)}


def encoded(codes):
    """Entries of weights in row-major order: (code, gap) pairs, gaps of at most 15."""
    entries, last = [], -1
    for position, code in enumerate(codes.reshape(-1)):
        if code == 0:
            continue
        while position - last - 1 > 15:
            entries.append((0, 15))
            last += 16
        entries.append((int(code), position - last - 1))
        last = position
    return entries


def packed(gaps):
    gaps = [*gaps, 0] if len(gaps) % 2 else gaps
    return bytes(low | high << 4 for low, high in zip(gaps[::2], gaps[1::2], strict=True))


def content(codes, codebooks, bias):
    entries = {name: encoded(matrix) for name, matrix in codes.items()}
    parts = [struct.pack(f"<{len(entries)}I", *(len(each) for each in entries.values()))]
    for name, pairs in entries.items():
        parts.append(codebooks[name].astype("<f4").tobytes())
        if name == "a":
            parts.append(bias.astype("<f4").tobytes())
        parts.append(bytes(code for code, _ in pairs))
        parts.append(packed([gap for _, gap in pairs]))
    return b"".join(parts)


@pytest.fixture
def tiny(tmp_path):
    """A folder with a small network, and its codes, codebooks and bias."""
    rng = np.random.default_rng(0)
    codes = {
        name: np.where(rng.random(shape) < 0.3, rng.integers(1, 256, shape), 0)
        for name, shape in SHAPES.items()
    }
    codes["a"][1] = 0  # a gap that one entry cannot bridge
    codes["a"][2, 17] = 200
    codebooks = {name: rng.standard_normal(256).astype(np.float32) for name in SHAPES}
    for values in codebooks.values():
        values[0] = 0
    bias = rng.standard_normal(3).astype(np.float32)
    (tmp_path / "deploy.prototxt").write_text(PROTOTXT)
    path = tmp_path / "tiny.net"
    path.write_bytes(content(codes, codebooks, bias))
    return path, codes, codebooks, bias


def test_every_weight_is_where_it_was_put(tiny):
    path, codes, codebooks, bias = tiny
    network = load_net(path)
    assert network.name == "tiny"
    assert network.graph.inputs == {"data": (2, 6, 6)}
    for layer in network.layers:
        np.testing.assert_array_equal(
            layer.dense_weights(), codebooks[layer.name][codes[layer.name]]
        )
        assert (layer.code_bits, layer.index_bits, layer.bias_coded) == (8, 4, False)
        assert layer.n_kept == np.count_nonzero(codes[layer.name])
    a, b = network.layers
    assert (a.activation, b.activation) == ("relu", "none")
    np.testing.assert_array_equal(a.bias, bias)
    assert b.bias is None
    assert not network.provenance["synthetic"]


def test_it_is_loaded_inspected_and_saved_like_any_other(tiny, tmp_path):
    path, *_ = tiny
    network = accelsim.load(path)
    assert network == load_net(path)
    found = accelsim.inspect(path)
    assert (found.kind, found.file_bytes) == ("compressed", path.stat().st_size)
    assert [row["layer"] for row in found.layers] == list(SHAPES)
    saved = accelsim.save(network, tmp_path / "copy.safetensors")
    assert accelsim.load(saved) == network


def test_the_prototxt_is_the_only_one_beside_the_file(tiny):
    path, *_ = tiny
    prototxt = path.with_name("deploy.prototxt")
    path.with_name("other.prototxt").write_text(PROTOTXT)
    with pytest.raises(InputError, match=r"2 .prototxt files beside it \(deploy.*leave one"):
        load_net(path)
    path.with_name("other.prototxt").unlink()
    prototxt.unlink()
    with pytest.raises(InputError, match=r"tiny.net: no .prototxt beside it"):
        load_net(path)


def test_every_shorter_or_longer_file_is_refused(tiny):
    path, *_ = tiny
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(
            FileFormatError, match=r"tiny.net: .*should end at byte .* get the file"
        ):
            load_net(path)
    path.write_bytes(whole + b"\0")
    with pytest.raises(FileFormatError, match=r"its layers end at \d+: get the file again"):
        load_net(path)


def changed(path, at, new):
    whole = bytearray(path.read_bytes())
    whole[at : at + len(new)] = new
    path.write_bytes(whole)


@pytest.mark.parametrize(
    ("at", "new", "message"),
    [
        (0, struct.pack("<I", 2**32 - 1), "layer 'a': codes should end at byte 4294968"),
        (8, struct.pack("<f", 0.5), "layer 'a': codebook\\[0\\] is 0.5"),
        (12, struct.pack("<f", np.nan), "layer 'a': codebook: 1 of 256 values are NaN"),
        (8 + 1024, struct.pack("<f", np.inf), "layer 'a': bias: 1 of 3 values are NaN"),
    ],
)
def test_damaged_values_are_named(tiny, at, new, message):
    path, *_ = tiny
    changed(path, at, new)
    with pytest.raises(AccelsimError, match=message):
        load_net(path)


def test_entries_beyond_the_weights_are_refused(tiny):
    path, codes, *_ = tiny
    n_entries = len(encoded(codes["a"]))
    changed(path, 8 + 1024 + 12 + n_entries, b"\xff" * (n_entries // 2))
    with pytest.raises(FileFormatError, match=r"layer 'a': the last entry stands at \d+ of 54"):
        load_net(path)


def test_another_prototxt_is_refused(tiny):
    path, *_ = tiny
    prototxt = path.with_name("deploy.prototxt")
    prototxt.write_text(PROTOTXT.replace("num_output: 3", "num_output: 4"))
    with pytest.raises(FileFormatError, match="or the prototxt that belongs to it"):
        load_net(path)
    huge = "num_output: 67108865"
    prototxt.write_text(PROTOTXT.replace("num_output: 3", huge))
    with pytest.raises(NetworkError, match="rows and columns, the limit is"):
        load_net(path)
    inner = PROTOTXT.replace("Convolution", "InnerProduct").replace("kernel_size: 3", "")
    prototxt.write_text(
        inner.replace("kernel_size: 1", "").replace("convolution_", "inner_product_")
    )
    with pytest.raises(NetworkError, match="layer 'a': only convolutions"):
        load_net(path)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_changed_bytes_give_a_network_or_an_error(tiny, place, value):
    path, codes, codebooks, bias = tiny
    whole = bytearray(content(codes, codebooks, bias))
    whole[place % len(whole)] = value
    path.write_bytes(whole)
    network, message = None, str(path)
    try:
        network = load_net(path)
    except AccelsimError as error:
        message = str(error)
    assert message.startswith(str(path))
    assert len(message.splitlines()) == 1
    for layer in network.layers if network else ():
        assert layer.dense_weights().shape == SHAPES[layer.name]


# --- the published SqueezeNet ---

# Squeeze and expand channels of the fire modules 2 to 9 (Iandola et al., arXiv:1602.07360, Table 1).
FIRES = [(16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256)]
# ImageNet classes that the photograph shows: bow tie, military uniform, suit, Windsor tie.
DRESSED = {457, 652, 834, 906}


def squeezenet_shapes():
    """[channels out, channels in, kernel, kernel] of all convolutions, by name."""
    shapes, channels = {"conv1": (96, 3, 7, 7)}, 96
    for at, (squeeze, expand) in enumerate(FIRES, start=2):
        shapes[f"fire{at}/conv1x1_1"] = (squeeze, channels, 1, 1)
        shapes[f"fire{at}/conv1x1_2"] = (expand, squeeze, 1, 1)
        shapes[f"fire{at}/conv3x3_2"] = (expand, squeeze, 3, 3)
        channels = 2 * expand
    return shapes | {"conv_final": (1000, channels, 1, 1)}


def slowly_decoded(raw):
    """Kernels and biases by name, entry by entry."""
    shapes = squeezenet_shapes()
    counts, at, decoded = struct.unpack_from("<26I", raw), 26 * 4, {}
    for (name, shape), count in zip(shapes.items(), counts, strict=True):
        codebook = struct.unpack_from("<256f", raw, at)
        at += 1024
        bias = np.float32(struct.unpack_from(f"<{shape[0]}f", raw, at))
        at += 4 * shape[0]
        flat, position = [0.0] * int(np.prod(shape)), -1
        for entry in range(count):
            byte = raw[at + count + entry // 2]
            position += (byte >> 4 if entry % 2 else byte & 15) + 1
            flat[position] = codebook[raw[at + entry]]
        at += count + (count + 1) // 2
        decoded[name] = (np.float32(flat).reshape(shape), bias)
    assert at == len(raw)
    return decoded


@pytest.fixture(scope="module")
def published():
    folder = data_dir()
    if folder is None or not (folder / "squeezenet").is_dir():
        pytest.skip("ACCELSIM_DATA not set and ../shared/data absent: no SqueezeNet")
    path = folder / "squeezenet" / "compressed_SqueezeNet.net"
    return load_net(path), slowly_decoded(path.read_bytes())


def test_squeezenet_is_decoded_weight_by_weight(published):
    network, decoded = published
    assert [layer.name for layer in network.layers] == list(decoded)
    for layer in network.layers:
        kernel, bias = decoded[layer.name]
        np.testing.assert_array_equal(layer.dense_weights(), kernel.reshape(len(kernel), -1))
        np.testing.assert_array_equal(layer.bias, bias)
        assert layer.activation == "relu"
    # The counts that the data's description states.
    assert sum(layer.n_weights for layer in network.layers) == 1_244_448
    assert sum(layer.n_kept for layer in network.layers) == 415_921


def test_squeezenets_graph_is_that_of_the_paper(published):
    network, _ = published
    shapes = network.flow.shapes
    assert network.graph.inputs == {"data": (3, 227, 227)}
    assert network.graph.outputs == ("pool_final",)
    assert [shapes[f"pool{at}"] for at in (1, 4, 8)] == [(96, 55, 55), (256, 27, 27), (512, 13, 13)]
    assert [shapes[f"fire{at}/concat"][0] for at in range(2, 10)] == [2 * e for _, e in FIRES]
    # conv_final has a padding of 1 around its 1 × 1 kernel.
    assert (shapes["conv_final"], shapes["pool_final"]) == ((1000, 15, 15), (1000, 1, 1))


def convolved(x, kernel, bias, stride=1, padding=0):
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[2:], axis=(1, 2))
    y = np.tensordot(kernel, windows[:, ::stride, ::stride], axes=([1, 2, 3], [0, 3, 4]))
    return np.maximum(y + bias[:, None, None], 0)


def pooled(x):
    """3 × 3 windows every 2 places, the last one beyond the edge."""
    places = range(-(-(x.shape[1] - 3) // 2) + 1)
    rows = [
        [x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((1, 2)) for j in places] for i in places
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def classified(x, decoded):
    x = pooled(convolved(x, *decoded["conv1"], stride=2))
    for at in range(2, 10):
        squeezed = convolved(x, *decoded[f"fire{at}/conv1x1_1"])
        one = convolved(squeezed, *decoded[f"fire{at}/conv1x1_2"])
        three = convolved(squeezed, *decoded[f"fire{at}/conv3x3_2"], padding=1)
        x = np.concatenate([one, three])
        x = pooled(x) if at in (4, 8) else x
    return convolved(x, *decoded["conv_final"], padding=1).mean((1, 2))


def test_squeezenet_sees_what_a_photograph_shows(published):
    """Caffe's input: 227 × 227, blue first, less the mean colour. Matplotlib's photograph."""
    _, decoded = published
    with Image.open(f"{mpl.get_data_path()}/sample_data/grace_hopper.jpg") as photograph:
        image = photograph.crop((0, 0, 512, 512)).resize((227, 227), Image.Resampling.BILINEAR)
    x = np.asarray(image, np.float32)[:, :, ::-1] - np.float32([104, 117, 123])
    scores = classified(x.transpose(2, 0, 1), decoded)
    assert int(scores.argmax()) in DRESSED
