import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accelsim.errors import FileFormatError, InputError, NetworkError
from accelsim.network.spec import load_spec

LAYER = {"name": '"fc"', "n_in": "30", "n_out": "20", "weight_density": "0.5"}


def layer_text(**changes):
    fields = {key: value for key, value in (LAYER | changes).items() if value is not None}
    return "[[layers]]\n" + "".join(f"{key} = {value}\n" for key, value in fields.items())


@pytest.fixture
def save(tmp_path):
    def save_text(text):
        path = tmp_path / "net.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return save_text


def test_every_key(save):
    text = 'name = "two"\ndescription = "d"\nsource = "s"\nchained = false\n'
    text += layer_text(activation_density="1", bias="false", activation='"relu"')
    text += layer_text(name='"other"')
    network = load_spec(save(text))
    first, second = network.layers
    assert (network.name, network.source, network.chained) == ("two", "s", False)
    assert (first.name, first.n_in, first.n_out) == ("fc", 30, 20)
    assert (first.weight_density, first.activation_density, first.activation) == (0.5, 1.0, "relu")
    assert first.weights is None
    assert not first.has_bias
    assert second.has_bias
    assert second.activation_density is None
    assert second.activation == "none"


def test_the_largest_sizes(save):
    (layer,) = load_spec(save('name = "x"\n' + layer_text(n_in="67108864", n_out="128"))).layers
    assert layer.n_in == 2**26
    assert load_spec(save('name = "x"\n' + layer_text(n_out="67108864"))).layers[0].n_out == 2**26


def test_layers_are_chained_by_default(save):
    with pytest.raises(NetworkError, match="takes 30 inputs"):
        load_spec(save('name = "x"\n' + layer_text() + layer_text(name='"b"')))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_in": "0"}, r"layers\.0\.n_in=0: input should be greater than 0"),
        ({"n_in": '"30"'}, r"layers\.0\.n_in='30'.*integer"),
        ({"n_in": "3.0"}, r"layers\.0\.n_in=3\.0"),
        ({"n_in": "true"}, r"layers\.0\.n_in=True"),
        ({"n_in": "[1]"}, r"layers\.0\.n_in=\[1\]"),
        ({"n_in": "{a = 1}"}, r"layers\.0\.n_in=\{'a': 1\}"),
        ({"n_in": "67108865"}, r"layers\.0\.n_in=67108865: .*less than or equal to 67108864"),
        ({"n_out": "67108865"}, r"layers\.0\.n_out=67108865: .*equal to 67108864"),
        ({"n_in": "100000", "n_out": "100000"}, r"layers\.0.*beyond 8589934592 weights"),
        ({"weight_density": "1.5"}, r"layers\.0\.weight_density=1\.5"),
        ({"weight_density": "0.0"}, r"layers\.0\.weight_density=0\.0"),
        ({"weight_density": "nan"}, r"layers\.0\.weight_density=nan"),
        ({"weight_density": None}, r"field 'layers\.0\.weight_density' is missing"),
        ({"activation_density": "-1"}, r"layers\.0\.activation_density=-1"),
        ({"activation": '"tanh"'}, r"layers\.0\.activation='tanh'"),
        ({"bias": "1"}, r"layers\.0\.bias=1"),
        ({"dens": "1"}, r"unknown field 'layers\.0\.dens'"),
        ({"name": '"a\\nb"'}, r"layers\.0\.name.*printable"),
        ({"name": '""'}, r"layers\.0\.name=''.*printable"),
        ({"activation": '"' + "x" * 100 + '"'}, r"activation='x+\.\.\."),
    ],
)
def test_bad_layers_are_named_by_field(save, changes, message):
    path = save('name = "x"\n' + layer_text(**changes))
    with pytest.raises(NetworkError, match=message) as caught:
        load_spec(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'name'"),
        ('name = "x"\nlayers = []\n"a\\nb" = 1', r"unknown field 'a\\nb'"),
        ('name = "x"\nlayers = []', "no layers"),
        ('name = "x"\nlayer = 1\n' + layer_text(), "'layer'"),
        ('name = "x"\n' + layer_text() * 2, "two layers are named 'fc'"),
        (
            'name = "x"\n' + layer_text(activation='"softmax"') + layer_text(name='"b"', n_in="20"),
            "soft",
        ),
    ],
)
def test_bad_networks(save, text, message):
    with pytest.raises(NetworkError, match=message):
        load_spec(save(text))


def test_text_that_is_no_toml(save, tmp_path):
    with pytest.raises(FileFormatError, match=r"net.toml: is no valid TOML: .*line 2"):
        load_spec(save('name = "x"\nlayers = = 3\n'))
    with pytest.raises(FileFormatError, match="no valid TOML"):
        load_spec(save("a = " + "[" * 50_000))
    path = tmp_path / "latin.toml"
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(FileFormatError, match="no valid TOML"):
        load_spec(path)


def test_large_and_missing_files(save, tmp_path):
    with pytest.raises(InputError, match="limit"):
        load_spec(save("#" * 2**21))
    with pytest.raises(InputError, match="no such file"):
        load_spec(tmp_path / "no.toml")


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 10**6), text=st.text(max_size=2))
def test_changed_text_gives_a_network_or_an_input_error(tmp_path, place, text):
    path = tmp_path / "net.toml"
    whole = 'name = "x"\n' + layer_text()
    at = place % len(whole)
    path.write_text(whole[:at] + text + whole[at + 1 :], encoding="utf-8", newline="")
    message = ""
    try:
        load_spec(path)
    except InputError as error:
        message = str(error)
    assert len(message.splitlines()) <= 1
