"""Train, prune and codebook-quantise LeNet-300-100 on MNIST, as in Deep Compression.

    python models/lenet-300-100/train.py            # about four minutes on one core

Three phases, each of which ends with the epoch that is best on a validation split:

1. ``dense``: ordinary training;
2. ``prune``: gradual magnitude pruning to the densities of Deep Compression (Han et al., ICLR
   2016, Table 2), then retraining of the surviving weights;
3. ``codebook``: k-means with linear initialisation maps each layer's surviving weights onto 15
   values, which are then trained with the gradients summed over all weights that share one.

The test set is read once, after the last phase, for the dense and for the compressed network.
Pixels are scaled to [0, 1] without subtracting a mean: a zero pixel stays zero, and the
accelerator skips it. Training needs torch; ``--from-arrays`` redoes the outputs without it.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import gzip
import hashlib
import itertools
import math
import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from digits import draw_digits

try:
    import torch
    from torch.nn import functional
except ModuleNotFoundError:  # fine with --from-arrays
    torch = None

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

NAME = "lenet-300-100"
NAMES = ("ip1", "ip2", "ip3")
ACTIVATIONS = ("relu", "relu", "none")
SIZES = (784, 300, 100, 10)

DENSITIES = (0.08, 0.09, 0.26)  # Deep Compression, Table 2
CODES = 15  # values of a 4-bit code that are not zero
VALIDATION_IMAGES = 5000
TRACE_IMAGES = 16
BATCH = 128


class Plan(NamedTuple):
    """How one phase is trained; the learning rate falls to zero along a half cosine."""

    name: str
    epochs: int
    learning_rate: float
    dropout: float = 0.0
    weight_decay: float = 0.0
    pruning_epochs: int = 0


DENSE = Plan("dense", epochs=40, learning_rate=1e-3, dropout=0.2, weight_decay=0.01)
PRUNE = Plan("prune", epochs=80, learning_rate=1e-3, pruning_epochs=30)
CODEBOOK = Plan("codebook", epochs=20, learning_rate=2e-4)


class TrainedNetwork(NamedTuple):
    """A compressed network and how it came about."""

    names: tuple[str, ...]
    weights: list[np.ndarray]  # float32[n_out, n_in], at most 16 distinct values each, 0 included
    biases: list[np.ndarray]  # float32[n_out]
    activations: tuple[str, ...]
    log: list[dict]  # phase, epoch, train_loss, val_error_pct
    test_error_pct: dict[str, float]  # of "dense" and "compressed"
    seed: int
    date: str  # of the training
    versions: dict[str, str]


class Split(NamedTuple):
    """Images float32[n, 28, 28] in [0, 1] and labels int64[n], as tensors."""

    images: torch.Tensor
    labels: torch.Tensor


class Phase(NamedTuple):
    """What a phase trains: `parameters` and `biases`, with the weights a function of the former."""

    plan: Plan
    parameters: list[torch.Tensor]
    biases: list[torch.Tensor]
    weights: Callable[[], list[torch.Tensor]]


# ---------------------------------------------------------------------------------------- data


def read_idx(path: Path) -> np.ndarray:
    """Read a gzipped IDX file of unsigned bytes as uint8 of the shape it declares."""
    raw = gzip.decompress(path.read_bytes())
    ndim = raw[3]
    shape = np.frombuffer(raw, ">u4", count=ndim, offset=4)
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * ndim).reshape(shape)


def read_images(data: Path, part: str) -> np.ndarray:
    """Images of `part` ("train" or "t10k") as float32[n, 28, 28] in [0, 1]."""
    return read_idx(data / f"{part}-images-idx3-ubyte.gz").astype(np.float32) / np.float32(255)


def read_split(data: Path, part: str) -> Split:
    """Images and labels of `part` as tensors."""
    labels = read_idx(data / f"{part}-labels-idx1-ubyte.gz").astype(np.int64)
    return Split(torch.from_numpy(read_images(data, part)), torch.from_numpy(labels))


def shifted(images: torch.Tensor) -> torch.Tensor:
    """Copy of `images` with every image moved by -1, 0 or 1 pixel at random in x and in y."""
    padded = functional.pad(images, (1, 1, 1, 1))
    choice = torch.randint(9, (len(images),))
    out = torch.empty_like(images)
    for shift in range(9):
        dy, dx = divmod(shift, 3)
        chosen = (choice == shift).nonzero().squeeze(1)
        out[chosen] = padded[chosen, dy : dy + 28, dx : dx + 28]
    return out


def batches(split: Split) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """One epoch of randomly shifted, shuffled images float32[batch, 784] and their labels."""
    images = shifted(split.images).flatten(1)
    for chosen in torch.randperm(len(images)).split(BATCH):
        yield images[chosen], split.labels[chosen]


# ------------------------------------------------------------------------------------ training


def logits(
    weights: list[torch.Tensor], biases: list[torch.Tensor], x: torch.Tensor, dropout: float = 0.0
) -> torch.Tensor:
    """Class scores float32[batch, 10] of the images x float32[batch, 784]."""
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        x = functional.relu(functional.linear(x, weight, bias))
        x = functional.dropout(x, dropout, training=dropout > 0)
    return functional.linear(x, weights[-1], biases[-1])


def error_pct(weights: list[torch.Tensor], biases: list[torch.Tensor], split: Split) -> float:
    """Share of wrongly classified images of `split`, in percent."""
    with torch.no_grad():
        wrong = logits(weights, biases, split.images.flatten(1)).argmax(1) != split.labels
    return 100.0 * wrong.sum().item() / len(wrong)


def run_epoch(phase: Phase, optimiser: torch.optim.Optimizer, split: Split) -> float:
    """Train for one epoch and return the mean loss."""
    total = 0.0
    for x, labels in batches(split):
        scores = logits(phase.weights(), phase.biases, x, phase.plan.dropout)
        loss = functional.cross_entropy(scores, labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        total += loss.item() * len(labels)
    return total / len(split.labels)


def fit(
    phase: Phase,
    train_split: Split,
    validation: Split,
    log: list[dict],
    before_epoch: Callable[[int], None] = lambda _epoch: None,
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Train one phase; return weights and biases of its best epoch, pruning epochs excluded."""
    plan = phase.plan
    groups = [
        {"params": phase.parameters, "weight_decay": plan.weight_decay},
        {"params": phase.biases, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups)
    best, best_error = None, math.inf
    for epoch in range(plan.epochs):
        before_epoch(epoch)
        for group in optimiser.param_groups:
            group["lr"] = plan.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / plan.epochs))
        loss = run_epoch(phase, optimiser, train_split)
        with torch.no_grad():
            weights = [w.clone() for w in phase.weights()]
        biases = [b.detach().clone() for b in phase.biases]
        error = error_pct(weights, biases, validation)
        log.append({"phase": plan.name, "epoch": epoch, "train_loss": loss, "val_error_pct": error})
        print(f"{plan.name:>8} {epoch:3d}  loss {loss:.5f}  validation error {error:.2f} %")
        if epoch >= plan.pruning_epochs and error <= best_error:
            best, best_error = (weights, biases), error
    return best


def trainable(tensors: list[torch.Tensor]) -> list[torch.Tensor]:
    """Copy `tensors` to ones that collect gradients."""
    return [t.detach().clone().requires_grad_() for t in tensors]


def dense_phase() -> Phase:
    """Phase that trains every weight from a random start (He et al., uniform)."""
    weights = []
    for n_in, n_out in itertools.pairwise(SIZES):
        weights.append((torch.rand(n_out, n_in) * 2 - 1) * math.sqrt(6 / n_in))
    weights = trainable(weights)
    biases = trainable([torch.zeros(n_out) for n_out in SIZES[1:]])
    return Phase(DENSE, weights, biases, lambda: weights)


def largest(weight: torch.Tensor, density: float) -> torch.Tensor:
    """Mask float32 of the shape of `weight`: 1 at the `density` largest magnitudes, 0 elsewhere."""
    magnitudes = weight.detach().abs().flatten()
    mask = torch.zeros_like(magnitudes)
    mask[magnitudes.topk(round(density * len(magnitudes))).indices] = 1.0
    return mask.view_as(weight)


def prune_phase(
    weights: list[torch.Tensor], biases: list[torch.Tensor]
) -> tuple[Phase, Callable[[int], None]]:
    """Phase that trains masked weights, and the step that tightens the masks before an epoch.

    The density falls along the cubic of Zhu and Gupta (2017) until `pruning_epochs`.
    """
    weights = trainable(weights)
    masks = [torch.ones_like(w) for w in weights]

    def masked() -> list[torch.Tensor]:
        return [w * m for w, m in zip(weights, masks, strict=True)]

    def tighten(epoch: int) -> None:
        if epoch > PRUNE.pruning_epochs:
            return
        left = (1 - epoch / PRUNE.pruning_epochs) ** 3
        for i, (weight, density) in enumerate(zip(masked(), DENSITIES, strict=True)):
            masks[i] = largest(weight, density + (1 - density) * left)

    return Phase(PRUNE, weights, trainable(biases), masked), tighten


def k_means(values: np.ndarray, iterations: int = 50) -> tuple[np.ndarray, np.ndarray]:
    """Cluster `values` [n] into CODES centroids that start evenly spaced over their range.

    Returns the centroids float64[CODES] and the code int64[n] of each value. A centroid that no
    value is nearest to stays where it is.
    """
    values = values.astype(np.float64)
    centroids = np.linspace(values.min(), values.max(), CODES)
    for _ in range(iterations):
        codes = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)
        counts = np.bincount(codes, minlength=CODES)
        sums = np.bincount(codes, values, minlength=CODES)
        centroids = np.where(counts > 0, sums / np.maximum(counts, 1), centroids)
    return centroids, np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)


def codebook_phase(weights: list[torch.Tensor], biases: list[torch.Tensor]) -> Phase:
    """Phase that trains each layer's centroids, with masks and codes fixed."""
    positions = [w.flatten().nonzero().squeeze(1) for w in weights]
    clusters = [k_means(w.flatten()[p].numpy()) for w, p in zip(weights, positions, strict=True)]
    centroids = trainable([torch.from_numpy(c.astype(np.float32)) for c, _ in clusters])
    codes = [torch.from_numpy(codes) for _, codes in clusters]

    def decoded() -> list[torch.Tensor]:
        # The gradient of the look-up is the sum of the gradients per code.
        return [
            torch.zeros(w.numel()).index_copy(0, p, c.index_select(0, k)).view_as(w)
            for w, p, c, k in zip(weights, positions, centroids, codes, strict=True)
        ]

    return Phase(CODEBOOK, centroids, trainable(biases), decoded)


def train(data: Path, seed: int = 0) -> TrainedNetwork:
    """Train, prune and quantise on the MNIST files in `data`; the same seed, the same result."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    images, labels = read_split(data, "train")
    train_split = Split(images[:-VALIDATION_IMAGES], labels[:-VALIDATION_IMAGES])
    validation = Split(images[-VALIDATION_IMAGES:], labels[-VALIDATION_IMAGES:])

    log: list[dict] = []
    dense = fit(dense_phase(), train_split, validation, log)
    phase, tighten = prune_phase(*dense)
    pruned = fit(phase, train_split, validation, log, tighten)
    compressed = fit(codebook_phase(*pruned), train_split, validation, log)

    test = read_split(data, "t10k")
    return TrainedNetwork(
        names=NAMES,
        weights=[w.numpy() for w in compressed[0]],
        biases=[b.numpy() for b in compressed[1]],
        activations=ACTIVATIONS,
        log=log,
        test_error_pct={
            "dense": error_pct(*dense, test),
            "compressed": error_pct(*compressed, test),
        },
        seed=seed,
        date=datetime.date.today().isoformat(),
        versions={
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
        },
    )


# ------------------------------------------------------------------------------------- outputs


def save_arrays(trained: TrainedNetwork, path: Path) -> None:
    """Write everything in `trained` as a plain .npz, for `load_arrays`."""
    arrays: dict[str, object] = {"seed": trained.seed, "date": trained.date}
    for name, weight, bias, activation in layers(trained):
        arrays |= {f"{name}/weights": weight, f"{name}/bias": bias}
        arrays[f"{name}/activation"] = activation
    for key in trained.log[0]:
        arrays[f"log/{key}"] = [row[key] for row in trained.log]
    arrays |= {f"test_error_pct/{k}": v for k, v in trained.test_error_pct.items()}
    arrays |= {f"versions/{k}": v for k, v in trained.versions.items()}
    np.savez(path, **arrays)


def load_arrays(path: Path) -> TrainedNetwork:
    """Read what `save_arrays` wrote."""
    with np.load(path) as arrays:

        def group(prefix: str) -> dict[str, list]:
            keys = [k for k in arrays.files if k.startswith(prefix)]
            return {k.removeprefix(prefix): arrays[k].tolist() for k in keys}

        columns = group("log/")
        rows = zip(*columns.values(), strict=True)
        return TrainedNetwork(
            names=NAMES,
            weights=[arrays[f"{name}/weights"] for name in NAMES],
            biases=[arrays[f"{name}/bias"] for name in NAMES],
            activations=tuple(str(arrays[f"{name}/activation"]) for name in NAMES),
            log=[dict(zip(columns, row, strict=True)) for row in rows],
            test_error_pct=group("test_error_pct/"),
            seed=int(arrays["seed"]),
            date=str(arrays["date"]),
            versions=group("versions/"),
        )


def layers(trained: TrainedNetwork) -> Iterator[tuple[str, np.ndarray, np.ndarray, str]]:
    """Name, weights, bias and activation of each layer."""
    return zip(trained.names, trained.weights, trained.biases, trained.activations, strict=True)


def layer_inputs(trained: TrainedNetwork, x: np.ndarray) -> list[np.ndarray]:
    """Input of every layer, and last the network's output, for x float32[n, 784]; all float32."""
    inputs = [x]
    for _, weight, bias, activation in layers(trained):
        y = inputs[-1] @ weight.T + bias
        inputs.append(np.maximum(y, 0) if activation == "relu" else y)
    return inputs


def write_model(trained: TrainedNetwork, out: Path) -> Path:
    """Compress with accelsim, which loses nothing here, and return the path of the artifact."""
    import accelsim
    from accelsim.network import Layer, Network

    network = Network(
        name=NAME,
        layers=tuple(
            Layer(name=name, weights=weight, bias=bias, activation=activation)
            for name, weight, bias, activation in layers(trained)
        ),
    )
    path = out / f"{NAME}.safetensors"
    accelsim.save(accelsim.compress(network, code_bits=4, index_bits=6), path)
    return path


def write_manifest(trained: TrainedNetwork, artifact: Path) -> None:
    """Write manifest.toml next to `artifact`: what it is and where it comes from."""
    lines = [
        f'name = "{NAME}"',
        f'what = "LeNet-300-100 for MNIST digits ({"-".join(map(str, SIZES))}, ReLU), pruned and '
        'quantised to 4-bit codes as in Deep Compression; pixels in [0, 1]"',
        f'command = "python models/{NAME}/train.py --seed {trained.seed}"',
        f"seed = {trained.seed}",
        f"date = {trained.date}",
        'data_set = "MNIST (LeCun et al.): 55,000 images for training, the last 5,000 of the '
        'training set for validation, 10,000 for the test"',
        'licence = "MIT"',
        f'artifact = "{artifact.name}"',
        f'sha256 = "{hashlib.sha256(artifact.read_bytes()).hexdigest()}"',
        f"weights = {sum(w.size for w in trained.weights)}",
        f"nonzero_weights = {sum(np.count_nonzero(w) for w in trained.weights)}",
        "",
        "[test_error_pct]",
        *(f"{key} = {value:.2f}" for key, value in trained.test_error_pct.items()),
        "",
        "[density_frac]",
        *(f"{n} = {np.count_nonzero(w) / w.size:.4f}" for n, w, _, _ in layers(trained)),
        "",
        "[versions]",
        *(f'{key} = "{value}"' for key, value in trained.versions.items()),
    ]
    (artifact.parent / "manifest.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_log(trained: TrainedNetwork, out: Path) -> None:
    """Write training_log.csv, one row per epoch."""
    with (out / "training_log.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, trained.log[0].keys(), lineterminator="\n")
        writer.writeheader()
        for row in trained.log:
            writer.writerow(row | {"train_loss": f"{row['train_loss']:.6f}"})


def write_trace(trained: TrainedNetwork, data: Path, path: Path) -> None:
    """Write inputs to simulate with: ten drawn digits, and hidden activations of real ones.

    `inputs` float32[10, 784] and `labels` int64[10] are the project's own drawings. `ip2`
    float32[16, 300] and `ip3` float32[16, 100] are those layers' inputs for the first 16 images
    of the MNIST test set; its pixels themselves may not be passed on.
    """
    real = read_images(data, "t10k")[:TRACE_IMAGES].reshape(TRACE_IMAGES, -1)
    _, ip2, ip3, _ = layer_inputs(trained, real)
    path.parent.mkdir(parents=True, exist_ok=True)
    inputs = draw_digits().reshape(10, -1)
    np.savez_compressed(path, inputs=inputs, labels=np.arange(10), ip2=ip2, ip3=ip3)


def parse_arguments() -> argparse.Namespace:
    """Command line."""
    data = Path(os.environ.get("ACCELSIM_DATA", ROOT.parent / "shared" / "data")) / "mnist"
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=data, help="folder of the four idx.gz files")
    parser.add_argument("--out", type=Path, default=HERE, help="folder for the model")
    parser.add_argument("--trace", type=Path, default=ROOT / "traces" / f"{NAME}.npz")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--arrays", type=Path, help="also write the plain arrays to this .npz")
    parser.add_argument("--from-arrays", type=Path, help="skip training and read this .npz")
    return parser.parse_args()


def main() -> None:
    """Train or load the network, then write everything that is derived from it."""
    args = parse_arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    trained = load_arrays(args.from_arrays) if args.from_arrays else train(args.data, args.seed)
    if args.arrays:
        save_arrays(trained, args.arrays)
    print("test error:", ", ".join(f"{k} {v:.2f} %" for k, v in trained.test_error_pct.items()))
    write_log(trained, args.out)
    write_trace(trained, args.data, args.trace)
    write_manifest(trained, write_model(trained, args.out))


if __name__ == "__main__":
    main()
