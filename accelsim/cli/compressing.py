"""From a network to an artifact."""

from collections.abc import Callable
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from accelsim.cli.app import app
from accelsim.cli.options import (
    DimOption,
    JsonOption,
    NetworkArgument,
    artifact_path,
    densities,
    open_sizes,
    widths,
)
from accelsim.cli.output import print_inspection, print_notes, progress
from accelsim.errors import InputError

if TYPE_CHECKING:
    from accelsim.compression.recipe import Recipe


@app.command()
def compress(
    network: NetworkArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Artifact to write (.safetensors).")],
    recipe: Annotated[
        str | None,
        typer.Option(
            "--recipe",
            "-r",
            metavar="NAME|FILE",
            help="Steps to compress by: a TOML file, or deep-compression, lenet-300-100, ...",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="What the recipe trains on: mnist, a folder of IDX files, an .npz or a .txt file.",
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Where training keeps its state; the same command goes on from there. By default "
            "OUT.training, deleted at the end.",
        ),
    ] = None,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write a row per epoch (.csv).")
    ] = None,
    density: Annotated[
        list[str] | None,
        typer.Option(
            "--density",
            "-d",
            metavar="[LAYER=]FRACTION",
            help="Fraction of weights to keep, of all layers, or of one; may be repeated.",
        ),
    ] = None,
    scope: Annotated[
        str | None,
        typer.Option(help="Density of each layer (default), or global over all of them."),
    ] = None,
    code_bits: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[LAYER=]BITS",
            help="Bits of a shared-weight code, 1 to 8 (default: 4), or fit: the fewest that lose "
            "nothing. Of all layers, or of one; may be repeated.",
        ),
    ] = None,
    index_bits: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[LAYER=]BITS",
            help="Bits of a stored run of zeros, 0 to 8 (default: 6; 0: no runs), or fit: the width of "
            "the fewest stored bits. Of all layers, or of one; may be repeated.",
        ),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="Runs down a matrix's column (default), along its row, or fit: the smaller."
        ),
    ] = None,
    codebook_init: Annotated[
        str | None, typer.Option(help="Where k-means starts: linear (default), density or random.")
    ] = None,
    bias: Annotated[
        str | None,
        typer.Option(
            help="auto (default), codebook (one more column of codes) or exact (float32)."
        ),
    ] = None,
    dims: DimOption = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything that is drawn at random.", min=0)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Prune, share weights through a codebook, Huffman-code; with a recipe, retrain as well.

    Example: `accelsim compress model.onnx --density 0.1 --density fc3=0.25 -o model.safetensors`

    Example: `accelsim compress model.onnx --recipe deep-compression --data mnist -o model.safetensors`
    """
    from accelsim.compression.artifact import save
    from accelsim.compression.describe import inspect as describe
    from accelsim.compression.layer import CompressedNetwork
    from accelsim.compression.loading import load
    from accelsim.compression.recipe import make_recipe
    from accelsim.compression.recipe_file import load_recipe
    from accelsim.compression.training.checkpoint import Checkpoint
    from accelsim.files import write_csv

    out = artifact_path(out)
    _check_training_options(recipe, data=data, checkpoint=checkpoint, log=log)
    fields = {
        "density": densities(density),
        "scope": scope,
        "code_bits": widths(code_bits, "--code-bits"),
        "index_bits": widths(index_bits, "--index-bits"),
        "order": order,
        "codebook_init": codebook_init,
        "bias": bias,
        "seed": seed,
    }
    fields = {name: value for name, value in fields.items() if value is not None}
    chosen = make_recipe(load_recipe(recipe) if recipe else None, **fields)
    if chosen.steps and {"density", "scope"} & fields.keys():
        raise InputError(
            "--density, --scope: would prune what the recipe's steps have trained: put a step 'prune' "
            "into the recipe instead"
        )
    loaded = load(network, dims=open_sizes(dims))
    epochs: list[Any] = []
    if not isinstance(loaded, CompressedNetwork):
        folder = checkpoint or _state_folder(out)
        compressed = _compressed(loaded, chosen, data, folder, epochs)
    elif fields or recipe:
        raise InputError(
            f"{network}: is compressed already: leave out --recipe, --density and the like, or give "
            "dense weights"
        )
    else:
        compressed = loaded
    save(compressed, out)
    if log:
        import pandas as pd

        write_csv(pd.DataFrame(epochs), log)
    if epochs and checkpoint is None:
        Checkpoint(_state_folder(out), run="").remove()
    print_inspection(describe(out), as_json)
    if compressed.activations:
        print_notes(
            (
                f"the activations of {network} are not part of the artifact: give them to simulate "
                "and the like with --input",
            )
        )


def _check_training_options(recipe: str | None, **options: Any) -> None:
    """Before anything takes time. Raises InputError."""
    for name, value in options.items():
        if value is not None and recipe is None:
            raise InputError(
                f"--{name}: is for a recipe that trains: add --recipe, or leave it out"
            )
    log: Path | None = options["log"]
    if log is not None and (log.is_dir() or not log.parent.is_dir()):
        raise InputError(f"--log {log}: give the name of a file in a folder that exists")


def _compressed(
    network: Any,
    recipe: "Recipe",
    data: str | None,
    folder: Path,
    epochs: list[Any],
) -> Any:
    """The compressed network; `epochs` takes a record of each epoch of its training."""
    from accelsim.compression.compressor import compress as run

    with progress() as tell:
        on_epoch = _epoch_teller(tell, sum(s.train.epochs for s in recipe.steps if s.train), epochs)
        try:
            compressed = run(
                network,
                recipe,
                data=data,
                checkpoint=folder,
                progress=tell,
                on_epoch=on_epoch,
            )
        except KeyboardInterrupt:
            if folder.is_dir():
                print_notes((f"the same command goes on from {folder}",))
            raise
    return compressed


def _state_folder(out: Path) -> Path:
    return out.with_name(out.name + ".training")


def _epoch_teller(
    tell: Callable[..., None], total: int, epochs: list[Any]
) -> Callable[[Any], None]:
    """Tells of each epoch, with the part of all epochs that is done."""

    def on_epoch(epoch: Any) -> None:
        epochs.append(epoch)
        error = epoch.validation_error_pct
        reached = f"loss {epoch.validation_loss:.4f}" if isnan(error) else f"error {error:.2f} %"
        tell(
            f"{epoch.kind}: epoch {epoch.epoch + 1} of {epoch.epochs}, {reached}",
            len(epochs) / total,
        )

    return on_epoch
