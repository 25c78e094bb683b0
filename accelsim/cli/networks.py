"""What a network is, and how it is compressed."""

from pathlib import Path
from typing import Annotated

import typer

from accelsim.cli.app import app
from accelsim.cli.options import (
    JsonOption,
    NetworkArgument,
    SeedOption,
    artifact_path,
    densities,
)
from accelsim.cli.output import print_inspection, print_notes, progress
from accelsim.errors import InputError


@app.command()
def compress(
    network: NetworkArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="Artifact to write (.safetensors).")],
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
        str, typer.Option(help="Density of each layer, or global over all of them.")
    ] = "layer",
    code_bits: Annotated[int, typer.Option(help="Bits of a shared-weight code, 1 to 8.")] = 4,
    index_bits: Annotated[int, typer.Option(help="Bits of a stored run of zeros, 1 to 8.")] = 6,
    codebook_init: Annotated[
        str, typer.Option(help="Where k-means starts: linear, density or random.")
    ] = "linear",
    bias: Annotated[
        str, typer.Option(help="auto, codebook (one more column of codes) or exact (float32).")
    ] = "auto",
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Prune, share weights through a codebook, Huffman-code; write one artifact.

    Example: `accelsim compress model.onnx --density 0.1 --density fc3=0.25 -o model.safetensors`
    """
    from accelsim.compression.artifact import save
    from accelsim.compression.compressor import compress as run
    from accelsim.compression.describe import inspect as describe
    from accelsim.compression.layer import CompressedNetwork
    from accelsim.compression.loading import load
    from accelsim.compression.recipe import Recipe, make_recipe

    out = artifact_path(out)
    recipe = make_recipe(
        None,
        density=densities(density),
        scope=scope,
        code_bits=code_bits,
        index_bits=index_bits,
        codebook_init=codebook_init,
        bias=bias,
        seed=seed,
    )
    loaded = load(network)
    if isinstance(loaded, CompressedNetwork):
        if recipe != Recipe():
            raise InputError(
                f"{network}: is compressed already: leave out --density and the like, "
                "or give dense weights"
            )
        compressed = loaded
    else:
        with progress() as tell:
            compressed = run(loaded, recipe, progress=tell)
    save(compressed, out)
    print_inspection(describe(out), as_json)
    if compressed.activations:
        print_notes(
            (
                f"the activations of {network} are not part of the artifact: give them to simulate "
                "and the like with --input",
            )
        )


@app.command()
def inspect(network: NetworkArgument, as_json: JsonOption = False) -> None:
    """Say what is in a network file: layers, densities, and for an artifact every bit it stores.

    Example: `accelsim inspect lenet-300-100`
    """
    from accelsim.compression.describe import inspect as run

    print_inspection(run(network), as_json)
