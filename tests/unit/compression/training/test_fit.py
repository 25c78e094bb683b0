"""The training loop: what a step imposed holds, the best epoch is kept, an interrupted run goes on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from unit.compression.training.blobs import CLASSES, FEATURES, blobs, network, training

from accelsim.compression.pipeline import Job, run_steps
from accelsim.compression.steps.base import Training
from accelsim.compression.steps.prune import Prune
from accelsim.compression.steps.share import Share
from accelsim.compression.steps.train import Train
from accelsim.datasets.training import Shuffled, TrainingData
from accelsim.errors import AccelsimError, FileFormatError, InputError, NetworkError
from accelsim.network.layers import Layer, Network

torch = pytest.importorskip("torch")

from accelsim.compression.training.score import network_score  # noqa: E402 (needs torch)

STEPS = (
    Train(train=Training(epochs=6, batch=32, dropout=0.1, learning_rate=1e-2)),
    Prune(density=0.3, train=Training(epochs=6, batch=32, learning_rate=5e-3)),
    Share(code_bits=3, train=Training(epochs=4, batch=32, learning_rate=2e-3)),
)


class InterruptedTrainingError(Exception):
    """In place of Ctrl-C."""


def test_steps_reach_what_they_promise_and_training_keeps_it():
    records = []
    outcome = run_steps(network(), STEPS, Job(data=training(), on_epoch=records.append))
    untrained = network_score(network(), training().test)
    assert network_score(outcome.dense, training().test).error_pct < untrained.error_pct / 3
    for layer, before in zip(outcome.network.layers, network().layers, strict=True):
        assert np.count_nonzero(layer.weights) == round(0.3 * layer.weights.size)
        assert len(np.unique(layer.weights[layer.weights != 0])) <= 7
        assert not np.array_equal(layer.bias, before.bias)
    assert [record.kind for record in records] == ["train"] * 6 + ["prune"] * 6 + ["share"] * 4
    assert [record.epoch for record in records] == [*range(6), *range(6), *range(4)]


def test_gradual_pruning_follows_its_cubic_and_ends_at_the_density():
    records = []
    step = Prune(density=0.25, train=Training(epochs=8, ramp=0.5, batch=64))
    run_steps(network(), [step], Job(data=training(), on_epoch=records.append))
    sizes = [layer.weights.size for layer in network().layers]
    for record in records:
        density = 0.25 + 0.75 * max(0.0, 1 - record.epoch / 4) ** 3
        kept = sum(round(density * size) for size in sizes)
        assert record.kept_pct == pytest.approx(100 * kept / sum(sizes), rel=1e-6)


def test_the_network_kept_is_the_best_of_the_epochs_that_have_the_density():
    records = []
    step = Prune(density=0.2, train=Training(epochs=10, ramp=0.4, batch=64, learning_rate=0.05))
    outcome = run_steps(network(), [step], Job(data=training(), on_epoch=records.append))
    eligible = [record.validation_error_pct for record in records if record.epoch >= 4]
    kept = network_score(outcome.network, training().validation)
    assert kept.error_pct == min(eligible)
    assert min(eligible) != eligible[-1] or len(set(eligible)) > 1


def test_iterative_pruning_prunes_in_rounds():
    records = []
    step = Prune(density=0.125, schedule="iterative", rounds=3, train=Training(epochs=6, batch=64))
    run_steps(network(), [step], Job(data=training(), on_epoch=records.append))
    steps = [record.kept_pct for record in records]
    assert steps[0] == steps[1] > steps[2] == steps[3] > steps[4] == steps[5]
    assert steps[0] == pytest.approx(50, abs=1)
    assert steps[4] == pytest.approx(12.5, abs=1)


@pytest.mark.parametrize("stop_after", [3, 6, 9, 14])
def test_an_interrupted_run_ends_like_one_that_was_not(tmp_path, stop_after):
    whole = run_steps(network(), STEPS, Job(seed=3, data=training()))
    seen = []

    def interrupt(record):
        seen.append(record)
        if len(seen) == stop_after:
            raise InterruptedTrainingError

    folder = tmp_path / "run"
    with pytest.raises(InterruptedTrainingError):
        run_steps(
            network(), STEPS, Job(seed=3, data=training(), checkpoint=folder, on_epoch=interrupt)
        )
    again = []
    resumed = run_steps(
        network(), STEPS, Job(seed=3, data=training(), checkpoint=folder, on_epoch=again.append)
    )
    # Epochs that were done are told of again, for the log.
    assert [record._asdict() for record in again] == whole.epochs
    assert resumed.epochs == whole.epochs
    for one, other in zip(resumed.network.layers, whole.network.layers, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)
        np.testing.assert_array_equal(one.bias, other.bias)


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    folder = tmp_path / "run"
    steps = [Train(train=Training(epochs=1))]
    run_steps(network(), steps, Job(data=training(), checkpoint=folder))
    with pytest.raises(InputError, match=r"step-00.*another recipe, network, data or seed"):
        run_steps(network(), steps, Job(seed=1, data=training(), checkpoint=folder))
    with pytest.raises(InputError, match="another recipe"):
        run_steps(network(1), steps, Job(data=training(), checkpoint=folder))
    with pytest.raises(InputError, match="another recipe"):
        run_steps(network(), steps, Job(data=training(400), checkpoint=folder))


def test_a_damaged_checkpoint_is_refused(tmp_path):
    folder = tmp_path / "run"
    steps = [Train(train=Training(epochs=1))]
    run_steps(network(), steps, Job(data=training(), checkpoint=folder))
    path: Path = folder / "step-00.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(FileFormatError, match=r"step-00.*damaged checkpoint"):
        run_steps(network(), steps, Job(data=training(), checkpoint=folder))


def test_the_seed_decides():
    def weights(seed):
        steps = [Train(initialise=True, train=Training(epochs=1, dropout=0.2))]
        return (
            run_steps(network(), steps, Job(seed=seed, data=training())).network.layers[0].weights
        )

    np.testing.assert_array_equal(weights(0), weights(0))
    assert not np.array_equal(weights(0), weights(1))


def test_training_leaves_torch_as_it_was():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    run_steps(network(), [Train(train=Training(epochs=1, dropout=0.5))], Job(data=training()))
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_the_epochs_are_those_of_a_plain_loop(optimiser):
    """Whole batches, so that their order plays no part: the same steps, written with torch alone."""
    data, epochs, rate, decay = blobs(100, 1), 5, 0.02, 0.1
    plan = Training(
        epochs=epochs, batch=100, learning_rate=rate, weight_decay=decay, optimiser=optimiser
    )
    run = TrainingData(Shuffled(data), Shuffled(data))
    step = Train(train=plan.model_copy(update={"best": "loss"}))
    records = []
    found = run_steps(network(), [step], Job(data=run, on_epoch=records.append)).network
    losses = [record.validation_loss for record in records]
    assert losses == sorted(losses, reverse=True)  # so that the last epoch is the one that is kept

    weights = [torch.tensor(layer.weights, requires_grad=True) for layer in network().layers]
    biases = [torch.tensor(layer.bias, requires_grad=True) for layer in network().layers]
    groups = [{"params": weights, "weight_decay": decay}, {"params": biases, "weight_decay": 0.0}]
    plain = (
        torch.optim.AdamW(groups)
        if optimiser == "adamw"
        else torch.optim.SGD(groups, lr=rate, momentum=0.9, nesterov=True)
    )
    for epoch in range(epochs):
        for group in plain.param_groups:
            group["lr"] = rate * (1 + np.cos(np.pi * epoch / epochs)) / 2
        x = torch.from_numpy(data.inputs)
        for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            x = x @ weight.T + bias
            x = torch.relu(x) if index < 2 else x
        loss = torch.nn.functional.cross_entropy(x, torch.from_numpy(data.labels))
        plain.zero_grad()
        loss.backward()
        plain.step()
    for layer, weight, bias in zip(found.layers, weights, biases, strict=True):
        np.testing.assert_allclose(layer.weights, weight.detach().numpy(), atol=2e-4)
        np.testing.assert_allclose(layer.bias, bias.detach().numpy(), atol=2e-4)
        start = next(x for x in network().layers if x.name == layer.name)
        assert np.abs(layer.weights - start.weights).max() > 0.02


def test_dropout_changes_what_is_learnt():
    def weights(dropout):
        steps = [Train(train=Training(epochs=1, batch=600, dropout=dropout))]
        return run_steps(network(), steps, Job(data=training())).network.layers[1].weights

    assert not np.allclose(weights(0.0), weights(0.5), atol=1e-6)


def test_bfloat16_trains_about_as_well():
    # With autocast's cache the network would have computed with its first weights throughout.
    errors = {}
    for precision in ("float32", "bfloat16"):
        steps = [Train(train=Training(epochs=8, batch=32, precision=precision))]
        trained = run_steps(network(), steps, Job(data=training())).network
        errors[precision] = network_score(trained, training().test).error_pct
    assert errors["bfloat16"] <= errors["float32"] + 3


def test_loaders_and_a_loss_of_ones_own():
    def loader(seed, shuffle):
        data = blobs(300, seed)
        targets = np.eye(CLASSES, dtype=np.float32)[data.labels]
        tensors = torch.utils.data.TensorDataset(
            torch.from_numpy(data.inputs), torch.from_numpy(targets)
        )
        return torch.utils.data.DataLoader(tensors, batch_size=50, shuffle=shuffle)

    def squared(outputs, targets):
        return ((outputs - targets) ** 2).mean()

    torch.manual_seed(0)
    data = TrainingData(loader(1, shuffle=True), loader(2, shuffle=False))
    records = []
    steps = [Train(train=Training(epochs=6, learning_rate=3e-3))]
    run_steps(network(), steps, Job(data=data, loss=squared, on_epoch=records.append))
    assert records[-1].validation_loss < 0.7 * records[0].validation_loss
    assert np.isnan(records[0].validation_error_pct)


def test_an_iterator_that_is_used_up_is_named():
    batches = iter([(blobs(10, 1).inputs, blobs(10, 1).labels)])
    data = TrainingData(batches, [(blobs(10, 2).inputs, blobs(10, 2).labels)])
    with pytest.raises(InputError, match="can start anew"):
        run_steps(network(), [Train(train=Training(epochs=2))], Job(data=data))


@pytest.mark.parametrize(
    ("inputs", "targets", "message"),
    [
        (np.zeros((4, FEATURES + 1), np.float32), np.zeros(4, np.int64), "an example has shape"),
        (np.zeros((4, FEATURES), np.float32), np.zeros(4, np.float32), "are no classes"),
        (np.zeros((4, FEATURES), np.float32), np.zeros(3, np.int64), "are no classes"),
        (
            np.zeros((4, FEATURES), np.float32),
            np.full(4, CLASSES),
            "classes 4 to 4, but .* 4 outputs",
        ),
        (np.zeros((4, FEATURES), np.float32), np.zeros((2, 2), np.int64), "are no classes"),
    ],
)
def test_data_that_do_not_fit_are_refused(inputs, targets, message):
    data = TrainingData([(inputs, targets)], [(inputs, targets)])
    with pytest.raises(AccelsimError, match=message):
        run_steps(network(), [Train(train=Training(epochs=1))], Job(data=data))


def test_a_loss_that_is_not_finite_is_named():
    step = Train(train=Training(epochs=3, learning_rate=1e30, optimiser="sgd"))
    with pytest.raises(
        InputError, match=r"recipe step 1 'train': in epoch \d the loss .*lower the learning_rate"
    ):
        run_steps(network(), [step], Job(data=training()))


def test_training_without_data_is_refused():
    with pytest.raises(InputError, match="give data to train with"):
        run_steps(network(), [Train(train=Training(epochs=1))], Job())


def test_a_shape_only_layer_and_several_inputs_are_refused_before_training():
    bare = Network(name="n", layers=(Layer(name="a", n_out=2, n_in=2, weight_density=1.0),))
    prune = Prune(density=0.5, train=Training(epochs=1))
    inputs, labels = np.zeros((4, 2), np.float32), np.zeros(4, np.int64)
    pairs = TrainingData([(inputs, labels)], [(inputs, labels)])
    for step in (prune, Train(train=Training(epochs=1), layers=("a",))):
        with pytest.raises(NetworkError, match="layer 'a' is shape-only"):
            run_steps(bare, [step], Job(data=pairs))
    apart = replace(network(), chained=False)
    for step in (Train(train=Training(epochs=1)), Share(code_bits="search")):
        with pytest.raises(NetworkError, match="has several inputs"):
            run_steps(apart, [step], Job(data=training()))


def test_a_shuffling_loader_gives_the_search_the_same_examples_each_time():
    def found():
        data = blobs(600, 1)
        tensors = torch.utils.data.TensorDataset(*map(torch.from_numpy, (data.inputs, data.labels)))
        loader = torch.utils.data.DataLoader(tensors, batch_size=20, shuffle=True)
        step = Share(code_bits="search", loss_increase=0.05)
        return run_steps(network(), [step], Job(data=TrainingData(loader, loader))).network

    torch.manual_seed(1)
    first = found()
    torch.manual_seed(2)
    for one, other in zip(first.layers, found().layers, strict=True):
        np.testing.assert_array_equal(one.weights, other.weights)


def test_pruning_after_sharing_is_refused():
    steps = [Share(code_bits=2), Prune(density=0.5)]
    with pytest.raises(InputError, match=r"recipe step 2 'prune': layer 'fc0' has shared"):
        run_steps(network(), steps, Job())


def test_shared_weights_stay_shared_while_other_layers_are_pruned_and_trained():
    steps = [
        Share(code_bits=2, layers=("fc0",)),
        Prune(density=0.5, layers=("fc1",), train=Training(epochs=2, batch=64)),
    ]
    layers = run_steps(network(), steps, Job(data=training())).network.layers
    assert len(np.unique(layers[0].weights)) == 3
    assert np.count_nonzero(layers[1].weights) == layers[1].weights.size / 2
    assert np.count_nonzero(layers[2].weights) == layers[2].weights.size
