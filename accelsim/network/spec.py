"""Shape-only networks from TOML: sizes and densities, from which weights are drawn by a seed."""

import tomllib
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from accelsim.errors import FileFormatError, NetworkError
from accelsim.network.files import StrPath, checked_file, first_line, naming_file
from accelsim.network.layers import Activation, Layer, Network
from accelsim.validation import first_problem

MAX_WEIGHTS = 2**33  # dense weights of one layer: ten times the largest in use
# Of one layer: as an artifact's, so that a sparse matrix of few weights takes little memory.
MAX_ROWS_OR_COLUMNS = 2**26
MAX_SPEC_BYTES = 2**20


def _checked_name(name: str) -> str:
    if not name or not name.isprintable():
        raise ValueError("give a name of printable characters")
    return name


Size = Annotated[int, Field(gt=0, le=MAX_ROWS_OR_COLUMNS)]
Name = Annotated[str, AfterValidator(_checked_name)]
Density = Annotated[float, Field(gt=0, le=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LayerSpec(_Strict):
    """One layer: its sizes, the fractions of non-zero weights and inputs, bias and activation."""

    name: Name
    n_in: Size
    n_out: Size
    weight_density: Density
    activation_density: Density | None = None
    bias: bool = True
    activation: Activation = "none"

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if self.n_in * self.n_out > MAX_WEIGHTS:
            raise ValueError(f"n_in × n_out is beyond {MAX_WEIGHTS} weights")
        return self

    def to_layer(self) -> Layer:
        """Return the shape-only layer."""
        return Layer(
            name=self.name,
            activation=self.activation,
            n_out=self.n_out,
            n_in=self.n_in,
            weight_density=self.weight_density,
            activation_density=self.activation_density,
            draw_bias=self.bias,
        )


class NetworkSpec(_Strict):
    """The whole file; `chained = false` for layers of which none feeds another."""

    name: Name
    description: str = ""
    source: str = ""
    chained: bool = True
    layers: Annotated[tuple[LayerSpec, ...], Field(strict=False)]


def load_spec(path: StrPath) -> Network:
    """Read a shape-only network from TOML; the keys are those of NetworkSpec and LayerSpec.

    Raises InputError for a file that cannot be read, FileFormatError for TOML that does not parse,
    NetworkError for unknown or missing keys, values out of range, and layers that do not fit.
    """
    path = checked_file(path, MAX_SPEC_BYTES)
    with naming_file(path):
        spec = _read_spec(path)
        layers = tuple(layer.to_layer() for layer in spec.layers)
        return Network(spec.name, layers, chained=spec.chained, source=spec.source)


def _read_spec(path: Path) -> NetworkSpec:
    try:
        return NetworkSpec.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        raise NetworkError(first_problem(error, list(NetworkSpec.model_fields))) from None
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"is no valid TOML: {first_line(error)}") from error
