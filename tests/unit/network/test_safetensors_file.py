import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from accelsim.errors import FileFormatError, InputError, NetworkError
from accelsim.network.safetensors_file import is_artifact, load_safetensors, read_header


def dense(n_out, n_in, dtype=np.float32):
    return (np.arange(1, n_out * n_in + 1) / 8).astype(dtype).reshape(n_out, n_in)


@pytest.fixture
def save(tmp_path):
    def save_tensors(tensors, metadata=None):
        path = tmp_path / "net.safetensors"
        save_file(tensors, path, metadata)
        return path

    return save_tensors


@pytest.fixture
def write(tmp_path):
    def write_parts(header, data=b"", length=None):
        path = tmp_path / "net.safetensors"
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        size = len(text) if length is None else length
        path.write_bytes(size.to_bytes(8, "little") + text + data)
        return path

    return write_parts


def entry(dtype="F32", shape=(2, 2), span=(0, 16)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(span)}


def test_layers_come_in_natural_order_with_relu_between(save):
    tensors = {f"fc{i}.weight": dense(4, 4) for i in (10, 2, 1)}
    tensors["fc2.bias"] = np.ones(4, np.float32)
    network = load_safetensors(save(tensors))
    assert [layer.name for layer in network.layers] == ["fc1", "fc2", "fc10"]
    assert [layer.activation for layer in network.layers] == ["relu", "relu", "none"]
    assert [layer.bias is not None for layer in network.layers] == [False, True, False]
    np.testing.assert_array_equal(network.layers[0].weights, dense(4, 4))


def test_sequential_names_and_a_single_unnamed_layer(save):
    network = load_safetensors(save({"4.weight": dense(2, 3), "0.weight": dense(3, 5)}))
    assert [layer.name for layer in network.layers] == ["0", "4"]
    network = load_safetensors(save({"weight": dense(2, 3), "bias": np.ones(2, np.float32)}))
    assert [layer.name for layer in network.layers] == ["net"]


def test_the_only_order_that_fits_is_found(save):
    tensors = {"in.weight": dense(5, 3), "hidden.weight": dense(4, 5), "a.weight": dense(2, 4)}
    network = load_safetensors(save(tensors))
    assert [layer.name for layer in network.layers] == ["in", "hidden", "a"]


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"a": (2, 4), "b": (4, 4), "c": (4, 4)}, "more than one order"),
        ({"a": (2, 3), "b": (7, 5)}, "no order"),
        ({f"x{i}": (20 - i, 21 - i) for i in reversed(range(20))} | {"a": (3, 9)}, "in order"),
    ],
)
def test_orders_that_are_not_clear(save, shapes, message):
    with pytest.raises(NetworkError, match=message):
        load_safetensors(save({f"{name}.weight": dense(*shape) for name, shape in shapes.items()}))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_types_become_float32(save, dtype):
    weights = load_safetensors(save({"a.weight": dense(3, 2, dtype)})).layers[0].weights
    assert weights.dtype == np.float32
    np.testing.assert_array_equal(weights, dense(3, 2))


def test_bfloat16_is_the_upper_half_of_float32(write):
    bits = (dense(2, 2).view(np.uint32) >> 16).astype("<u2")
    path = write({"a.weight": entry("BF16", span=(0, 8))}, bits.tobytes())
    np.testing.assert_array_equal(load_safetensors(path).layers[0].weights, dense(2, 2))


def test_metadata_gives_activations(save):
    tensors = {"a.weight": dense(3, 2), "b.weight": dense(2, 3)}
    path = save(tensors, {"activations": json.dumps({"b": "softmax"}), "format": "pt"})
    assert [layer.activation for layer in load_safetensors(path).layers] == ["relu", "softmax"]
    path = save({"weight": dense(3, 2)}, {"activations": json.dumps({"net": "relu"})})
    assert load_safetensors(path).layers[0].activation == "relu"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "object of words"),
        ('{"a": 1}', "object of words"),
        ('{"q": "relu"}', "no layer 'q'"),
        ('{"a": "tanh"}', "'tanh' is not supported"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_bad_activations(save, text, message):
    with pytest.raises(InputError, match=message):
        load_safetensors(save({"a.weight": dense(3, 2)}, {"activations": text}))


def test_foreign_tensors_are_named_in_one_error(save):
    tensors = {
        "fc.weight": dense(3, 2),
        "conv.weight": np.ones((2, 2, 3, 3), np.float32),
        "lonely.bias": np.ones(2, np.float32),
        "q.weight": np.ones((2, 2), np.int8),
        "bn.running_mean": np.ones(2, np.float32),
    }
    with pytest.raises(NetworkError) as caught:
        load_safetensors(save(tensors))
    for name in ("conv.weight", "lonely.bias", "q.weight", "bn.running_mean"):
        assert name in str(caught.value)
    assert "fc.weight" not in str(caught.value)


def test_many_foreign_tensors_are_counted(save):
    with pytest.raises(NetworkError, match="and 4 more"):
        load_safetensors(save({f"x{i}": dense(2, 2) for i in range(9)}))


def test_empty_file_nan_and_unprintable_name(save):
    with pytest.raises(NetworkError, match="no tensors"):
        load_safetensors(save({}))
    with pytest.raises(NetworkError, match=r"net.safetensors: layer 'a': weights: .*NaN"):
        load_safetensors(save({"a.weight": np.full((2, 2), np.nan, np.float32)}))
    with pytest.raises(NetworkError, match=r"a\\nb"):
        load_safetensors(save({"a\nb.weight": dense(2, 2)}))


def test_artifacts_are_recognised(save, tmp_path):
    path = save({"x": dense(2, 2)}, {"accelsim.schema": "1"})
    assert is_artifact(path)
    with pytest.raises(FileFormatError, match="compressed network of accelsim"):
        load_safetensors(path)
    assert not is_artifact(save({"a.weight": dense(2, 2)}))
    assert not is_artifact(tmp_path / "missing.safetensors")
    assert not is_artifact(tmp_path)
    path.write_bytes(b"PK\x03\x04" * 10)
    assert not is_artifact(path)


@pytest.mark.parametrize(
    "tensor",
    [
        entry(shape=(2, 3)),
        entry(shape=(-2, -2)),
        entry(shape=(2.0, 2)),
        entry(shape=(True, 4)),
        entry(shape=(2**40, 2**40), span=(0, 2**82)),
        entry(shape=(1,) * 100_000, span=(0, 4)),
        entry(dtype="F4"),
        entry(span=(-16, 0)),
        entry(span=(16, 0)),
        entry(span=(0, 16, 16)),
        entry(span=(1, 17)),
        entry(shape=(1, 1), span=(0, 4)),
        {"dtype": "F32"},
        3,
    ],
)
def test_damaged_tensor_entries(write, tensor):
    with pytest.raises(FileFormatError) as caught:
        load_safetensors(write({"a.weight": tensor}, bytes(16)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "length", "message"),
    [
        (b"{", None, "no JSON"),
        (b"[]", None, "no JSON object"),
        (b"\xff\xfe", None, "no JSON"),
        (b'{"a": 1, "a": 2}', None, "given twice"),
        (b"[" * 200_000, None, "no JSON"),
        (b"{}", 2**62, "header has"),
        (b"{}", 100, "header has"),
        (b'{"__metadata__": []}', None, "__metadata__"),
        (b'{"__metadata__": {"a": 1}}', None, "__metadata__"),
    ],
)
def test_damaged_headers(write, header, length, message):
    path = write(header, length=length)
    with pytest.raises(FileFormatError, match=message):
        read_header(path)
    assert not is_artifact(path)


def test_overlapping_tensors_and_trailing_bytes(write):
    with pytest.raises(FileFormatError, match="overlap"):
        read_header(write({"a.weight": entry(), "b.weight": entry()}, bytes(16)))
    with pytest.raises(FileFormatError, match="need"):
        read_header(write({"a.weight": entry()}, bytes(17)))


def test_truncated_files(save):
    path = save({"a.weight": dense(3, 2), "a.bias": np.ones(3, np.float32)}, {"k": "v"})
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(FileFormatError):
            load_safetensors(path)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_changed_byte_gives_a_network_or_an_input_error(save, place, value):
    path = save({"a.weight": dense(3, 2), "a.bias": np.ones(3, np.float32)}, {"k": "v"})
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    message = ""
    try:
        load_safetensors(path)
    except InputError as error:
        message = str(error)
    assert "\n" not in message


@given(st.lists(st.integers(0, 10**30), min_size=2, max_size=6, unique=True))
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_numbers_in_names_sort_by_value(save, numbers):
    path = save({f"fc{n}.weight": dense(2, 2) for n in numbers})
    names = [layer.name for layer in load_safetensors(path).layers]
    assert names == [f"fc{n}" for n in sorted(numbers)]
