import numpy as np
import pytest

from accelsim.compression.artifact import load_artifact, save
from accelsim.compression.codes_npz import has_codes, load_codes_npz
from accelsim.compression.layer import CompressedNetwork
from accelsim.compression.loading import load
from accelsim.errors import AccelsimError, FileFormatError, InputError, NetworkError

CODES = np.array([[0, 1, 3], [2, 0, 0]], np.uint8)
CODEBOOK = np.array([0.0, -1.5, 0.25, 2.0], np.float32)
WEIGHTS = [[0.0, -1.5, 2.0], [0.25, 0.0, 0.0]]  # by hand, from the two above


@pytest.fixture
def write(tmp_path):
    def write_arrays(**arrays):
        path = tmp_path / "net.npz"
        np.savez(path, **arrays)
        return path

    return write_arrays


def test_a_layer_by_hand(write):
    path = write(codes=CODES, codebook=CODEBOOK)
    network = load_codes_npz(path)
    (layer,) = network.layers
    assert (network.name, layer.name, layer.n_out, layer.n_in) == ("net", "net", 2, 3)
    assert layer.dense_weights().tolist() == WEIGHTS
    assert (layer.code_bits, layer.n_kept, layer.has_bias) == (2, 3, False)
    assert layer.activation == "none"
    assert layer.bias_values() is None
    assert network.chained
    assert network.provenance["source"] == "net.npz"
    assert network.provenance["synthetic"] is False


def test_bias_codes_are_values_of_the_codebook(write):
    network = load_codes_npz(write(codes=CODES, codebook=CODEBOOK, bias_codes=np.uint8([0, 3])))
    (layer,) = network.layers
    assert layer.bias_coded
    assert layer.bias is None
    assert layer.bias_values().tolist() == [0.0, 2.0]
    assert layer.dense_weights().tolist() == WEIGHTS
    assert layer.n_kept == 3


def test_an_exact_bias_stays_exact(write):
    network = load_codes_npz(write(codes=CODES, codebook=CODEBOOK, bias=np.float32([0.1, -0.2])))
    assert not network.layers[0].bias_coded
    assert network.layers[0].bias_values().tolist() == np.float32([0.1, -0.2]).tolist()


def test_two_kinds_of_bias_are_refused(write):
    arrays = {"bias": np.float32([9, 9]), "bias_codes": np.uint8([1, 0])}
    with pytest.raises(FileFormatError, match="'net': has both 'bias' and 'bias_codes'"):
        load_codes_npz(write(codes=CODES, codebook=CODEBOOK, **arrays))


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.dtype(">i4")])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_integers_and_any_order_will_do(write, dtype, order):
    path = write(codes=np.asarray(CODES, dtype, order=order), codebook=CODEBOOK.astype(np.float64))
    assert load_codes_npz(path).layers[0].dense_weights().tolist() == WEIGHTS


@pytest.mark.parametrize("bits", range(1, 9))
def test_the_codebook_says_how_wide_a_code_is(write, bits):
    codebook = np.arange(2**bits, dtype=np.float32)
    codes = np.uint8([[2**bits - 1, 0]])
    layer = load_codes_npz(write(codes=codes, codebook=codebook)).layers[0]
    assert layer.code_bits == bits
    assert layer.dense_weights().tolist() == [[2**bits - 1, 0]]


def test_a_code_whose_value_is_zero_is_still_a_code(write):
    layer = load_codes_npz(write(codes=CODES, codebook=np.zeros(4))).layers[0]
    assert layer.n_kept == 3
    assert not layer.dense_weights().any()


def test_activations_and_activation(write):
    network = load_codes_npz(
        write(codes=CODES, codebook=CODEBOOK, activations=np.ones((4, 3)), activation="relu")
    )
    assert network.activations["net"].shape == (4, 3)
    assert network.activations["net"].dtype == np.float32
    assert network.layers[0].activation == "relu"


def two_layers(**more):
    """A layer of 3 inputs and 2 outputs, then one that takes these 2."""
    return {
        "fc1/codes": CODES,
        "fc1/codebook": CODEBOOK,
        "fc2/codes": CODES.T,
        "fc2/codebook": CODEBOOK,
        **more,
    }


def test_several_layers_are_a_chain(write):
    network = load_codes_npz(write(**two_layers(**{"fc1/activation": "relu"})))
    assert network.chained
    assert [layer.name for layer in network.layers] == ["fc1", "fc2"]
    assert [layer.activation for layer in network.layers] == ["relu", "none"]
    assert network.layers[1].dense_weights().tolist() == np.transpose(WEIGHTS).tolist()
    assert load_codes_npz(write(**two_layers(**{"fc1/activations": np.ones(3)}))).chained


def test_layers_with_inputs_of_their_own_need_not_fit(write):
    arrays = {"fc2/codes": CODES, "fc1/activations": np.ones(3), "fc2/activations": np.ones(3)}
    network = load_codes_npz(write(**two_layers(**arrays)))
    assert not network.chained
    assert set(network.activations) == {"fc1", "fc2"}
    assert [layer.activation for layer in network.layers] == ["none", "none"]


def test_layers_that_fit_are_chained_even_with_inputs_of_their_own(write):
    arrays = {"fc1/activations": np.ones(3), "fc2/activations": np.ones(2)}
    network = load_codes_npz(write(**two_layers(**arrays)))
    assert network.chained
    assert set(network.activations) == {"fc1", "fc2"}
    assert [layer.activation for layer in network.layers] == ["relu", "none"]


def test_arrays_beside_the_layers_are_shared_or_ignored(write):
    other = np.float32([0, 5, 6, 7])
    network = load_codes_npz(
        write(
            output=np.ones(7),
            activations=np.ones((2, 3)),
            codebook=CODEBOOK,
            **{"meta/version": "1", "fc1/codes": CODES, "fc2/codes": CODES.T},
            **{"fc2/codebook": other},
        )
    )
    assert network.chained
    assert [layer.name for layer in network.layers] == ["fc1", "fc2"]
    assert network.activations["fc1"].shape == (2, 3)
    assert network.layers[0].codebook.tolist() == CODEBOOK.tolist()
    assert network.layers[1].codebook.tolist() == other.tolist()


@pytest.mark.parametrize("word", ["relu", b"relu", ["relu"], [[b"relu"]]])
def test_an_activation_is_one_word_of_any_kind(write, word):
    path = write(codes=CODES, codebook=CODEBOOK, activation=np.array(word))
    assert load_codes_npz(path).layers[0].activation == "relu"


def test_what_is_loaded_can_be_saved(write, tmp_path):
    network = load_codes_npz(write(**two_layers(**{"fc2/bias_codes": np.uint8([0, 1, 0])})))
    assert load_artifact(save(network, tmp_path / "net.safetensors")) == network


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"codebook": None}, "layer 'net': 'codebook' is missing"),
        ({"codes": None, "a/codes": CODES, "b/bias": CODES}, "'b/codes': missing next to 'bias'"),
        ({"codes": None, "a/codes": CODES, "bias": CODES}, "'bias': has no layer"),
        ({"codes": CODES + 2}, "codes: holds codes 2 to 5, the codebook has 4"),
        ({"codes": np.int8([[0, -1]])}, "codes: holds codes -1 to 0"),
        ({"codes": np.int64([[0, 2**40]])}, "holds codes 0 to 1099511627776"),
        ({"codes": CODES.astype(np.float32)}, r"codes: float32\[2, 3\]: give uint8\[n_out, n_in\]"),
        ({"codes": CODES.astype(bool)}, "codes: bool"),
        ({"codes": CODES[0]}, r"codes: uint8\[3\]: give uint8\[n_out, n_in\]"),
        ({"codes": CODES[None]}, r"codes: uint8\[1, 2, 3\]"),
        ({"codes": np.zeros((0, 3), np.uint8)}, r"codes: uint8\[0, 3\]"),
        ({"codebook": CODEBOOK[:3]}, r"codebook has shape \(3,\): give 2, 4, 8, ... or 256"),
        ({"codebook": CODEBOOK[:1]}, r"codebook has shape \(1,\)"),
        ({"codebook": np.zeros(0, np.float32)}, r"codebook has shape \(0,\)"),
        ({"codebook": np.zeros(512, np.float32)}, r"codebook has shape \(512,\)"),
        ({"codebook": CODEBOOK.reshape(2, 2)}, r"codebook has shape \(2, 2\)"),
        ({"codebook": np.float32(0)}, "codebook has shape"),
        ({"codebook": CODEBOOK + 1}, r"codebook\[0\] is 1.0: code 0 must mean 0.0"),
        ({"codebook": np.float32([0, np.nan, 1, 2])}, "codebook: 1 of 4 values are NaN"),
        ({"codebook": np.array(list("abcd"))}, "codebook: has type <U1"),
        ({"bias_codes": np.uint8([0, 1, 2])}, r"bias_codes has shape \(3,\), codes need \(2,\)"),
        ({"bias_codes": np.uint8([0, 4])}, "bias_codes: holds codes 0 to 4, the codebook has 4"),
        ({"bias_codes": np.uint8([[0], [1]])}, r"bias_codes: uint8\[2, 1\]: give uint8\[n_out\]"),
        ({"bias_codes": np.float32([0, 1])}, "bias_codes: float32"),
        ({"bias": np.float32([0, 1, 2])}, r"bias has shape \(3,\), codes need \(2,\)"),
        ({"bias": np.float32([0, np.inf])}, "bias: 1 of 2 values"),
        ({"activation": "gelu"}, "activation 'gelu' is not supported: use one of none, relu"),
        ({"activations": np.ones(4)}, r"activations of layer 'net' have shape \(4,\)"),
        ({"net/codes": CODES, "net/codebook": CODEBOOK}, "'codes': has no layer"),
        ({"net.codes": CODES, "net/codes": CODES}, "has two of these"),
        ({"codes": None, "a\nb/codes": CODES}, "printable"),
    ],
)
def test_arrays_that_make_no_layer_are_refused(write, change, message):
    arrays = {"codes": CODES, "codebook": CODEBOOK} | change
    path = write(**{name: array for name, array in arrays.items() if array is not None})
    for read in (load_codes_npz, load):
        with pytest.raises(AccelsimError, match=message) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc2/codes": CODES}, "layer 'fc2': takes 3 inputs, but layer 'fc1' before it gives 2"),
        ({"fc1/activation": "softmax"}, "layer 'fc1': softmax stands before the last layer"),
    ],
)
def test_layers_that_make_no_chain_are_refused(write, change, message):
    path = write(**two_layers(**change))
    with pytest.raises(NetworkError, match=message) as caught:
        load_codes_npz(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_files_that_are_no_npz(tmp_path):
    path = tmp_path / "net.npz"
    with pytest.raises(InputError, match="no such file"):
        load_codes_npz(path)
    path.write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(FileFormatError, match=str(path)):
        load_codes_npz(path)


def test_the_names_of_the_arrays_tell_the_layout():
    assert has_codes(["codes", "codebook"])
    assert has_codes(["x/weights", "fc.1.codes"])
    assert not has_codes(["weights", "bias_codes", "codebook", "codes/weights", "x/barcodes"])
    assert not has_codes([])


def test_both_kinds_are_a_compressed_network(write):
    assert isinstance(load(write(codes=CODES, codebook=CODEBOOK)), CompressedNetwork)
