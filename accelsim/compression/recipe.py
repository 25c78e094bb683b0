"""What `compress` is asked to do, as a person writes it."""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.compression.codebook import Initialisation
from accelsim.compression.steps.catalogue import AnyStep
from accelsim.errors import InputError
from accelsim.validation import first_problem

Density = Annotated[float, Field(gt=0.0, le=1.0)]
# What each layer needs is found, not given.
Fit: TypeAlias = Literal["fit"]
CodeBits: TypeAlias = Annotated[int, Field(ge=1, le=8)] | Fit
IndexBits: TypeAlias = Annotated[int, Field(ge=0, le=8)] | Fit
DEFAULT_CODE_BITS = 4
DEFAULT_INDEX_BITS = 6
DEFAULT_MAX_CODE_LENGTH = 11


class Recipe(BaseModel):
    """How a network is compressed: steps, then pruning, weight sharing and coding of what they give.

    steps: methods in the order in which they are used, each with its retraining, if any
    name, description: of the recipe, for the record
    density: fraction of weights kept: one number for all, a number per layer name ("*" stands for all
        others, which else keep all), or None to keep every weight that is not zero already
    scope: `layer` keeps that fraction of each layer, `global` of all weights together
    code_bits: bits of a codebook index; code 0 is zero, so 2**code_bits - 1 values are shared. `fit`: the
        fewest that hold all distinct values of a layer. Also by layer name, as densities are
    index_bits: bits of a stored run of zeros; once Huffman-coded, wider runs cost less than the padding
        that they avoid (the machine has a width of its own, `run_bits`). 0 stores zeros like any other
        weight, which suits dense layers; `fit`: the width that stores a layer in the fewest bits. Also
        by layer name
    order: whether runs of zeros go down the columns of a matrix or along its rows; `fit` takes the
        order that stores a layer in fewer bits
    codebook_init: where k-means starts (Deep Compression finds `linear` best)
    max_code_length: longest Huffman word; 11 bits keep a decode table at 4 KiB
    bias: `codebook` stores the bias as one more column of codes, `exact` as float32 values; `auto`
        takes the codebook where that loses nothing, else exact values
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = ""
    description: str = ""
    steps: tuple[AnyStep, ...] = ()
    density: Density | dict[str, Density] | None = None
    scope: Literal["layer", "global"] = "layer"
    code_bits: CodeBits | dict[str, CodeBits] = DEFAULT_CODE_BITS
    index_bits: IndexBits | dict[str, IndexBits] = DEFAULT_INDEX_BITS
    order: Literal["column", "row", "fit"] = "column"
    codebook_init: Initialisation = "linear"
    max_code_length: int = Field(default=DEFAULT_MAX_CODE_LENGTH, ge=8, le=15)
    bias: Literal["auto", "codebook", "exact"] = "auto"
    seed: int = Field(default=0, ge=0, lt=2**63)
    max_iterations: int = Field(default=1000, ge=1)

    def as_record(self) -> dict[str, Any]:
        """All fields for JSON; of steps what is not the default."""
        record = self.model_dump(mode="json", exclude={"name", "description", "steps"})
        if self.steps:
            steps = [step.model_dump(mode="json", exclude_defaults=True) for step in self.steps]
            kinds = [{"kind": step.kind} for step in self.steps]
            record["name"] = self.name
            record["steps"] = [kind | step for kind, step in zip(kinds, steps, strict=True)]
        return record


def make_recipe(recipe: Recipe | None, **fields: Any) -> Recipe:
    """`recipe` (or the default) with some fields replaced; InputError names a wrong field."""
    if not isinstance(recipe, Recipe | None):
        raise InputError(f"recipe: {type(recipe).__name__}: give a Recipe, or its fields by name")
    given = {} if recipe is None else recipe.model_dump()
    try:
        return Recipe(**(given | fields))
    except ValidationError as error:
        raise InputError(f"recipe: {first_problem(error, list(Recipe.model_fields))}") from None
