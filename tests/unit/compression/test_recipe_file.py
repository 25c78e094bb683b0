"""Recipes as files, and `accelsim.compress` with them."""

import numpy as np
import pytest
from unit.compression.training.blobs import network, training

import accelsim
from accelsim.compression.decoded import decoded
from accelsim.compression.recipe import Recipe
from accelsim.compression.recipe_file import bundled_recipes, load_recipe
from accelsim.errors import FileFormatError, InputError

CHAIN = """
code_bits = "fit"
index_bits = "fit"

[[steps]]
kind = "train"
train = { epochs = 4, batch = 32, learning_rate = 1e-2 }

[[steps]]
kind = "prune"
density = { fc0 = 0.4, "*" = 0.6 }
train = { epochs = 4, batch = 32 }

[[steps]]
kind = "share"
code_bits = 3
layers = ["fc1", "fc2"]

[[steps]]
kind = "quantise"
layers = ["fc0"]
scheme = "uniform"
bits = 4
train = { epochs = 2, batch = 32, learning_rate = 1e-3 }
"""


@pytest.fixture
def chain(tmp_path):
    path = tmp_path / "chain.toml"
    path.write_text(CHAIN)
    return path


@pytest.mark.parametrize("name", sorted(bundled_recipes()))
def test_recipes_that_come_with_the_project_are_valid(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert recipe.steps


def test_a_file_says_what_its_fields_say(chain):
    recipe = load_recipe(chain)
    assert recipe.name == "chain"
    assert [step.kind for step in recipe.steps] == ["train", "prune", "share", "quantise"]
    assert recipe.steps[1].density == {"fc0": 0.4, "*": 0.6}
    assert recipe.steps[3].train.epochs == 2


def test_a_chain_of_methods_is_stored_without_loss_and_scored_as_it_is(chain):
    torch = pytest.importorskip("torch")
    data = training()
    compressed = accelsim.compress(network(), chain, data=data)
    record = compressed.provenance["training"]
    # Levels of a symmetric grid of 4 bits, then centroids of 3 bits.
    for part, kept, values in zip(compressed.layers, (0.4, 0.6, 0.6), (14, 7, 7), strict=True):
        assert part.n_kept <= round(kept * part.n_weights)
        assert len(np.unique(part.codebook[part.codebook != 0])) <= values
    # The stored network's accuracy, computed here with nothing but torch's own product.
    for part, name in ((data.validation, "validation"), (data.test, "test")):
        (inputs, labels), *_ = part.batches(1000)
        x = torch.from_numpy(inputs)
        for layer in decoded(compressed).layers:
            x = x @ torch.from_numpy(layer.weights).T + torch.from_numpy(layer.bias)
            x = torch.relu(x) if layer.activation == "relu" else x
        wrong = int((x.argmax(1).numpy() != labels).sum())
        assert record[f"{name}_compressed_error_pct"] == pytest.approx(100 * wrong / len(labels))
        loss = torch.nn.functional.cross_entropy(x, torch.from_numpy(labels))
        assert record[f"{name}_compressed_loss"] == pytest.approx(float(loss), rel=1e-4)
    assert record["epochs"] == 10


def test_the_artifact_holds_the_trained_weights_exactly(chain, tmp_path):
    pytest.importorskip("torch")
    compressed = accelsim.compress(network(), chain, data=training())
    loaded = accelsim.load(accelsim.save(compressed, tmp_path / "a.safetensors"))
    assert loaded == compressed
    again = accelsim.compress(network(), chain, data=training())
    assert again == compressed


def test_what_steps_fixed_is_stored_as_it_is_whatever_the_recipes_width():
    shared = accelsim.compress(network(), steps=[{"kind": "share", "code_bits": 6}])
    assert [np.unique(x.weights).size for x in decoded(shared).layers] == [63, 63, 48]
    named = accelsim.compress(
        network(), steps=[{"kind": "share", "code_bits": 6}], code_bits={"fc0": 2, "*": 3}
    )
    assert [layer.code_bits for layer in named.layers] == [2, 6, 6]


def test_fields_take_the_place_of_the_recipes(chain):
    recipe = load_recipe(chain)
    compressed = accelsim.compress(network(), recipe, steps=[], code_bits=2, density=0.5)
    assert "steps" not in compressed.provenance["recipe"]
    assert [layer.code_bits for layer in compressed.layers] == [2, 2, 2]


def test_steps_need_no_file_and_no_training():
    recipe = Recipe(steps=[{"kind": "prune", "density": 0.5}, {"kind": "share", "code_bits": 2}])
    compressed = accelsim.compress(network(), recipe, code_bits="fit")
    assert [layer.n_kept for layer in compressed.layers] == [80, 96, 24]
    assert [layer.code_bits for layer in compressed.layers] == [2, 2, 2]
    record = compressed.provenance["recipe"]["steps"]
    assert record == [{"kind": "prune", "density": 0.5}, {"kind": "share", "code_bits": 2}]
    assert "training" not in compressed.provenance


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps = 3", r"wrong.toml: recipe: steps=3"),
        ("[[steps]]\nkind = 'paint'", r"wrong.toml: recipe: .*paint"),
        ("[[steps]]\nkind = 'prune'", "give one of density, quality"),
        ("[[steps]]\nkind = 'prune'\ndensity = 2", "less than or equal to 1"),
        ("[[steps]]\nkind = 'share'\nbits = 3", "unknown field '.*bits'"),
        ("[[steps]]\nkind = 'train'", "train' is missing"),
        ("[[steps]]\nkind = 'train'\ntrain = { epochs = 0 }", "epochs"),
        ("colour = 'red'", "unknown field 'colour'"),
        ("steps = [", "is no TOML: Invalid value"),
    ],
)
def test_wrong_files_are_refused_by_field(tmp_path, text, message):
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message) as error:
        load_recipe(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("deep-compresion", "did you mean 'deep-compression'"),
        ("missing.toml", "no such file"),
        ("recipe.json", "neither a .toml file nor a bundled recipe"),
    ],
)
def test_what_is_no_recipe_is_refused(source, message):
    with pytest.raises(InputError, match=message):
        load_recipe(source)
