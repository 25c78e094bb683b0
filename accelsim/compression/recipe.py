"""What `compress` is asked to do, as a person writes it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.compression.codebook import Initialisation
from accelsim.errors import InputError
from accelsim.validation import first_problem

Density = Annotated[float, Field(gt=0.0, le=1.0)]


class Recipe(BaseModel):
    """Pruning, weight sharing and coding of one network (no retraining).

    density: fraction of weights kept: one number for all, a number per layer name ("*" stands for all
        others, which else keep all), or None to keep every weight that is not zero already
    scope: `layer` keeps that fraction of each layer, `global` of all weights together
    code_bits: bits of a codebook index; code 0 is zero, so 2**code_bits - 1 values are shared
    index_bits: bits of a stored run of zeros; once Huffman-coded, wider runs cost less than the padding
        that they avoid (the machine has a width of its own, `run_bits`)
    codebook_init: where k-means starts (Deep Compression finds `linear` best)
    max_code_length: longest Huffman word; 11 bits keep a decode table at 4 KiB
    bias: `codebook` stores the bias as one more column of codes, `exact` as float32 values; `auto`
        takes the codebook where that loses nothing, else exact values
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    density: Density | dict[str, Density] | None = None
    scope: Literal["layer", "global"] = "layer"
    code_bits: int = Field(default=4, ge=1, le=8)
    index_bits: int = Field(default=6, ge=1, le=8)
    codebook_init: Initialisation = "linear"
    max_code_length: int = Field(default=11, ge=8, le=15)
    bias: Literal["auto", "codebook", "exact"] = "auto"
    seed: int = Field(default=0, ge=0)
    max_iterations: int = Field(default=1000, ge=1)


def make_recipe(recipe: Recipe | None, **fields: Any) -> Recipe:
    """`recipe` (or the default) with some fields replaced; InputError names a wrong field."""
    if not isinstance(recipe, Recipe | None):
        raise InputError(f"recipe: {type(recipe).__name__}: give a Recipe, or its fields by name")
    given = {} if recipe is None else recipe.model_dump()
    try:
        return Recipe(**(given | fields))
    except ValidationError as error:
        raise InputError(f"recipe: {first_problem(error, list(Recipe.model_fields))}") from None
