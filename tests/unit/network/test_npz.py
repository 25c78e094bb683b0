import io
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim.errors import FileFormatError, InputError, NetworkError
from accelsim.network.files import naming_file
from accelsim.network.npz import array_names, load_npz, read_array, read_arrays
from accelsim.network.npz_layers import layer_groups


@pytest.fixture
def save(tmp_path):
    def save_arrays(**arrays):
        path = tmp_path / "net.npz"
        np.savez(path, **arrays)
        return path

    return save_arrays


def dense(n_out, n_in):
    return np.arange(1, n_out * n_in + 1, dtype=np.float32).reshape(n_out, n_in)


def npy_bytes(header, data=b"", version=b"\x01\x00"):
    text = header.encode("latin1") + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


def zip_of(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def test_single_layer_is_named_after_its_file_and_ignores_other_arrays(save):
    path = save(
        weights=dense(2, 3).astype(np.float64),
        bias=np.ones(2),
        activations=np.ones((5, 3)),
        activation="softmax",
        output=np.ones(2),
    )
    network = load_npz(str(path))
    (layer,) = network.layers
    assert (network.name, layer.name, layer.activation, network.chained) == (
        "net",
        "net",
        "softmax",
        True,
    )
    assert layer.weights.dtype == np.float32
    np.testing.assert_array_equal(layer.weights, dense(2, 3))
    np.testing.assert_array_equal(layer.bias, [1, 1])
    assert network.activations["net"].shape == (5, 3)


def test_single_layer_has_no_activation_unless_stated(save):
    assert load_npz(save(weights=dense(2, 3))).layers[0].activation == "none"


def test_chained_layers_keep_file_order_and_default_to_relu_between(save):
    arrays = {
        "z.weights": dense(4, 3),
        "a/weights": dense(5, 4),
        "z.bias": np.zeros(4),
        "m.n/weights": dense(2, 5),
    }
    network = load_npz(save(**arrays))
    assert [layer.name for layer in network.layers] == ["z", "a", "m.n"]
    assert [layer.activation for layer in network.layers] == ["relu", "relu", "none"]
    assert network.layers[0].bias is not None
    assert network.layers[1].bias is None


def test_stated_activation_wins(save):
    arrays = {"a/weights": dense(4, 3), "a/activation": np.bytes_("none"), "b/weights": dense(2, 4)}
    arrays["b/activation"] = np.array(["relu"])
    assert [layer.activation for layer in load_npz(save(**arrays)).layers] == ["none", "relu"]


def test_layers_with_inputs_of_their_own_need_not_fit(save):
    arrays = {"a/weights": dense(4, 3), "a/activations": np.ones(3, np.float32)}
    arrays |= {"b/weights": dense(2, 5), "b/activations": np.ones(5, np.float32)}
    network = load_npz(save(**arrays))
    assert not network.chained
    assert [layer.activation for layer in network.layers] == ["none", "none"]


def test_layers_that_fit_are_chained_even_with_inputs_of_their_own(save):
    arrays = {"a/weights": dense(4, 3), "a/activations": np.ones(3, np.float32)}
    arrays |= {"b/weights": dense(2, 4), "b/activations": np.ones(4, np.float32)}
    assert load_npz(save(**arrays)).chained


def test_arrays_beside_the_layers_are_the_first_input_or_ignored(save):
    arrays = {"output": np.ones(7), "labels": np.ones(2), "activations": np.ones((2, 3))}
    arrays |= {"a/weights": dense(4, 3), "meta/version": "1", "b/weights": dense(2, 4)}
    network = load_npz(save(codebook=np.ones(4), **arrays))
    assert [layer.name for layer in network.layers] == ["a", "b"]
    assert [layer.activation for layer in network.layers] == ["relu", "none"]
    assert network.chained
    assert network.activations.keys() == {"a"}
    assert network.activations["a"].shape == (2, 3)


def test_a_shared_input_counts_as_the_first_layers_own(save):
    arrays = {"activations": np.ones(3), "a/weights": dense(4, 3)}
    arrays |= {"b/weights": dense(2, 5), "b/activations": np.ones(5)}
    assert not load_npz(save(**arrays)).chained


@pytest.mark.parametrize("word", ["relu", b"relu", ["relu"], [[b"relu"]]])
def test_an_activation_is_one_word_of_any_kind(save, word):
    assert load_npz(save(weights=dense(2, 3), activation=word)).layers[0].activation == "relu"


@pytest.mark.parametrize("suffix", ["npz", "NPZ", "npy", "NPY", "data"])
def test_the_suffix_is_of_no_account(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with path.open("wb") as stream:
        np.savez(stream, a=np.ones(3))
    assert read_arrays(path)["a"].shape == (3,)
    with path.open("wb") as stream:
        np.save(stream, np.ones(3))
    assert read_array(path).shape == (3,)


def test_column_major_and_big_endian_arrays_are_read(save):
    array = np.asfortranarray(dense(2, 3).astype(">f4"))
    read = read_arrays(save(weights=array))["weights"]
    np.testing.assert_array_equal(read, dense(2, 3))
    assert read.dtype.isnative
    assert read.flags.writeable


def test_compressed_archive_is_read(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, weights=np.zeros((100, 100)), b=np.ones(3))
    assert array_names(path) == {"weights": None, "b": None}
    np.testing.assert_array_equal(read_arrays(path)["weights"], np.zeros((100, 100)))


@pytest.mark.parametrize("dtype", ["f2", "f8", "u1", "i8", "U3", "S3"])
@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_types_and_shapes_survive(save, dtype, shape):
    array = np.zeros(shape, dtype)
    read = read_arrays(save(a=array))["a"]
    assert (read.dtype, read.shape) == (array.dtype, array.shape)


@pytest.mark.parametrize(
    ("arrays", "error", "message"),
    [
        ({"output": np.ones(2)}, FileFormatError, "'weights'"),
        ({}, FileFormatError, "no arrays"),
        ({"codes": np.ones((2, 2), np.uint8)}, FileFormatError, "compressed already"),
        ({"a/bias": np.ones(2)}, FileFormatError, "'a/weights'.*missing"),
        ({"weights": dense(2, 2), "a/weights": dense(2, 2)}, FileFormatError, "<layer>/weights"),
        ({"a/weights": dense(2, 2), "a.weights": dense(2, 2)}, FileFormatError, "two of these"),
        ({"a/weights": dense(2, 2), "b/weights": dense(2, 3)}, NetworkError, "takes 3 inputs"),
        ({"a/weights": dense(2, 2), "bias": np.ones(2)}, FileFormatError, "'bias': has no layer"),
        (
            {"weights": dense(2, 2), "bias": np.ones(2), "bias_codes": np.ones(2)},
            FileFormatError,
            "both 'bias' and 'bias_codes'",
        ),
        (
            {"a/weights": dense(2, 2), "a/activations": np.ones(2), "activations": np.ones(2)},
            FileFormatError,
            "'activations' and 'a/activations'",
        ),
        ({"activations": np.ones(3)}, FileFormatError, "no field 'weights'"),
        ({"weights": dense(2, 2), "activation": b"\xff\n"}, NetworkError, "not supported"),
        ({"weights": dense(2, 2), "activation": "a\nb"}, NetworkError, "not supported"),
        ({"weights": dense(2, 2), "activation": ["relu"] * 2}, NetworkError, "'activation'"),
        ({"weights": np.ones(3)}, NetworkError, "n_out, n_in"),
        ({"weights": np.array([["a"]])}, NetworkError, "real numbers"),
        ({"weights": np.full((2, 2), np.nan)}, NetworkError, "NaN"),
        ({"weights": dense(2, 2), "bias": np.ones(3)}, NetworkError, "bias"),
        ({"weights": dense(2, 2), "activations": np.ones(3)}, NetworkError, "activations"),
        ({"weights": dense(2, 2), "activation": "tanh"}, NetworkError, "tanh"),
        ({"weights": dense(2, 2), "activation": np.ones(1)}, NetworkError, "'activation'"),
        ({"weights": np.zeros((0, 3))}, NetworkError, "n_out=0"),
        ({"a\nb/weights": dense(2, 2)}, NetworkError, "printable"),
    ],
)
def test_arrays_that_make_no_network(save, arrays, error, message):
    path = save(**arrays)
    with pytest.raises(error, match=message) as caught:
        load_npz(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_object_arrays_are_refused(save):
    with pytest.raises(FileFormatError, match=r"field 'weights': .*Python objects"):
        read_arrays(save(weights=np.array([{}, 1], dtype=object)))


def test_missing_file_directory_and_impossible_path(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_arrays(tmp_path / "no.npz")
    with pytest.raises(InputError, match="directory"):
        read_arrays(tmp_path)
    with pytest.raises(InputError, match="no such file"):
        read_arrays("a\0b")
    os.mkfifo(tmp_path / "pipe.npz")
    for path in (tmp_path / "pipe.npz", os.devnull):
        with pytest.raises(InputError, match=f"^{path}: is no regular file: "):
            read_arrays(path)


def test_a_damaged_file_is_named_once(tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(b"no archive")
    with pytest.raises(FileFormatError, match=f"^{path}: is no intact") as error, naming_file(path):
        read_arrays(path)
    assert str(error.value).count(str(path)) == 1


def test_total_size_is_bounded(save):
    path = save(a=np.zeros(1000), b=np.zeros(1000))
    with pytest.raises(InputError, match="limit is 1000"):
        read_arrays(path, limit_bytes=1000)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000, 1000000000)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 99999999999999999999)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '|U0', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f3', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'shape': (1,)}",
        "{[]: 1}",
        "(((",
        "'",
        "-" * 900 + "1",
        "x" * 5000,
        "",
    ],
)
def test_impossible_headers(tmp_path, header):
    content = npy_bytes(header, b"\0\0\0\0")
    npy = tmp_path / "a.npy"
    npy.write_bytes(content)
    with pytest.raises(FileFormatError):
        read_array(npy)
    with pytest.raises(FileFormatError, match="'weights'"):
        read_arrays(zip_of(tmp_path / "a.npz", weights=content))


def test_header_of_python_2_and_version_2_are_read(tmp_path):
    npy = tmp_path / "a.npy"
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (1L,)}"
    npy.write_bytes(npy_bytes(header, b"\0\0\0\0"))
    assert read_array(npy).shape == (1,)
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ones(3), version=(2, 0))
    npy.write_bytes(stream.getvalue())
    np.testing.assert_array_equal(read_array(npy), np.ones(3))


def test_npy_of_version_3_or_wrong_length(tmp_path):
    npy = tmp_path / "a.npy"
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.ones(3), version=(3, 0))
    npy.write_bytes(stream.getvalue())
    with pytest.raises(FileFormatError, match="version"):
        read_array(npy)
    np.save(npy, np.ones(3))
    npy.write_bytes(npy.read_bytes() + b"\0")
    with pytest.raises(FileFormatError, match="needs 24 bytes, the file has 25"):
        read_array(npy)


def test_declared_size_beyond_what_deflate_can_hold(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.zeros(100_000))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\x01\x02") + 24  # uncompressed size in the central directory
    content[at : at + 4] = (2**31).to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="says 2147483648 bytes, packed in"):
        read_arrays(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_packing_is_refused(tmp_path, method):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("a.npy", b"x")
    with pytest.raises(FileFormatError, match="savez"):
        read_arrays(path)


def test_encrypted_twice_named_and_foreign_members(tmp_path):
    path = zip_of(tmp_path / "a.npz", a=b"x")
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="encrypted"):
        read_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"x")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", b"x")
    with pytest.raises(FileFormatError, match="twice"):
        read_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", b"x")
    assert read_arrays(path) == {}


def test_groups_split_names_at_the_last_separator():
    groups = layer_groups({"weights": 1, "a/b.c": 2, "a.b/d": 3, "a/b": 4})
    assert groups == {"": {"weights": 1}, "a/b": {"c": 2}, "a.b": {"d": 3}, "a": {"b": 4}}


@pytest.mark.parametrize("save_function", [np.savez, np.savez_compressed])
def test_truncated_archives(tmp_path, save_function):
    path = tmp_path / "a.npz"
    save_function(path, weights=dense(8, 9), bias=np.ones(8))
    content = path.read_bytes()
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(FileFormatError, match=re.escape(str(path))):
            load_npz(path)


def test_truncated_npy(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, dense(3, 3))
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(FileFormatError):
            read_array(path)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255), packed=st.booleans())
def test_a_changed_byte_gives_a_network_or_an_input_error(tmp_path: Path, place, value, packed):
    path = tmp_path / "a.npz"
    (np.savez_compressed if packed else np.savez)(path, weights=dense(4, 4), bias=np.ones(4))
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    message = ""
    try:
        load_npz(path)
    except InputError as error:
        message = str(error)
    assert "\n" not in message
