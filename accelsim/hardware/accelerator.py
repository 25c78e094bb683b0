"""The machine as a person describes it."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from accelsim.errors import HardwareError
from accelsim.network.files import checked_file, first_line, naming_file
from accelsim.validation import closest, first_problem

MAX_TOML_BYTES = 2**20
PRESETS = Path(__file__).parent / "presets"

DecoderName: TypeAlias = Literal["fixed", "huffman", "dense"]
Overflow: TypeAlias = Literal["error", "grow", "stream"]


def _number(value: Any) -> Any:
    """Turn text of digits into a number, which Literal does not do by itself."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


TableName: TypeAlias = Annotated[str, BeforeValidator(_text)]
WordBits: TypeAlias = Annotated[Literal[16, 32], BeforeValidator(_number)]


class Accelerator(BaseModel):
    """An array of PEs, each with its slice of the weights in SRAM of its own (docs/machine.md).

    pes: processing elements; row r of a layer lives in PE r mod pes
    queue_depth: slots of each activation queue, one of which stays free
    row_bits: width of a weight-SRAM row
    code_bits, run_bits: width of an entry's codebook index and run of zeros
    pointer_bits: least width of a column pointer; it widens where addresses need more
    arithmetic_bits: width of weights, activations and accumulators (fixed point)
    activation_frac_bits: fraction bits of every layer's output; None lets each layer have as many as
        its values leave room for
    decoder: `fixed` entries, `huffman` streams decoded by each PE, or `dense` weights, all of them
    weights_in: `sram`, or `dram` to stream every layer's weights and pointers for each input
    max_code_length: longest Huffman word of the on-chip streams, in bits
    *_sram_bytes: capacity per PE
    overflow: what happens when a layer does not fit: `error`, `grow` the memories, `stream` from DRAM
    technology, dram: names of tables in accelsim/hardware/technologies, or paths
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "custom"
    pes: int = Field(ge=1, le=65536)
    queue_depth: int = Field(ge=2, le=65536)
    row_bits: int = Field(ge=1, le=65536)
    code_bits: int = Field(ge=1, le=8)
    run_bits: int = Field(ge=1, le=8)
    pointer_bits: int = Field(ge=1, le=64)
    arithmetic_bits: WordBits
    activation_frac_bits: int | None = Field(default=None, ge=0, le=30)
    clock_mhz: float = Field(ge=0.001, le=100_000)
    decoder: DecoderName
    weights_in: Literal["sram", "dram"] = "sram"
    max_code_length: int = Field(default=11, ge=8, le=15)
    weight_sram_bytes: int = Field(ge=1, le=2**40)
    pointer_sram_bytes: int = Field(ge=1, le=2**40)
    activation_sram_bytes: int = Field(ge=1, le=2**40)
    overflow: Overflow = "error"
    technology: TableName
    dram: TableName

    @model_validator(mode="after")
    def _an_entry_fits_a_row(self) -> "Accelerator":
        if self.row_bits < self.entry_bits:
            raise ValueError(
                f"row_bits={self.row_bits} is less than one entry of "
                f"code_bits + run_bits = {self.entry_bits} bits"
            )
        return self

    @property
    def entry_bits(self) -> int:
        """Bits of one fixed-width entry."""
        return self.code_bits + self.run_bits

    @property
    def cycle_us(self) -> float:
        """Length of a clock cycle in microseconds."""
        return 1.0 / self.clock_mhz

    def replace(self, **overrides: Any) -> "Accelerator":
        """This machine with some fields changed. Raises HardwareError naming a wrong field."""
        return _validated(self.model_dump(exclude_unset=True) | overrides, f"machine '{self.name}'")


def preset_names() -> list[str]:
    """Names of the machines that come with accelsim."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def accelerator(hardware: "str | Path | Accelerator" = "eie-64", **overrides: Any) -> Accelerator:
    """A machine by preset name, from a TOML file, or as it is; with some fields changed.

    Raises HardwareError for an unknown preset or field, or a value out of range.
    """
    if not isinstance(hardware, Accelerator):
        hardware = _read(str(hardware))
    return hardware.replace(**overrides) if overrides else hardware


def _read(name: str) -> Accelerator:
    path = PRESETS / f"{name}.toml"
    if name not in preset_names():
        path = Path(name)
        if path.suffix.lower() != ".toml":
            raise HardwareError(
                f"hardware '{name}': no such machine (a file's name ends in .toml)"
                f"{closest(name, preset_names(), 'presets')}"
            )
    with naming_file(path):
        text = checked_file(path, MAX_TOML_BYTES).read_bytes()
    try:
        fields = tomllib.loads(text.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise HardwareError(f"{path}: not valid TOML: {first_line(error)}") from None
    return _validated(_tables_beside(path, fields), str(path))


def _tables_beside(path: Path, fields: dict[str, Any]) -> dict[str, Any]:
    """Tables that a machine file names by a relative path stand beside it."""
    for field in ("technology", "dram"):
        name = fields.get(field)
        if isinstance(name, str) and name.endswith(".toml"):
            fields[field] = str(path.parent / name)
    return fields


def _validated(fields: dict[str, Any], place: str) -> Accelerator:
    try:
        return Accelerator(**fields)
    except ValidationError as error:
        raise HardwareError(
            f"{place}: {first_problem(error, list(Accelerator.model_fields))}"
        ) from None


def parse_override(text: str) -> tuple[str, Any]:
    """`field=value` from the command line. Raises HardwareError if it is not of that form."""
    field, equals, value = text.partition("=")
    if not equals or not field.strip() or not value.strip():
        raise HardwareError(f"--set {text}: write field=value, as in --set pes=32")
    if value.strip().lower() == "none":
        return field.strip(), None
    return field.strip(), value.strip()
