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
    field_validator,
    model_validator,
)

from accelsim.errors import HardwareError
from accelsim.network.files import checked_file, first_line, naming_file
from accelsim.validation import closest, first_problem

MAX_TOML_BYTES = 2**20
MOST_PES = 65536
PRESETS = Path(__file__).parent / "presets"
# These say how Huffman streams are written and decoded. The parameters of a single design are not
# among them: a sweep over designs may set them all.
HUFFMAN_FIELDS = ("decoder_placement", "decoder_design", "huffman_alphabet", "sub_streams")

DecoderName: TypeAlias = Literal["fixed", "huffman", "dense"]
Placement: TypeAlias = Literal["inline", "load", "shared"]
DesignName: TypeAlias = Literal["bit_serial", "one_symbol", "pair", "two_level", "multi_symbol"]
Alignment: TypeAlias = Literal["bit", "byte", "row"]
Overflow: TypeAlias = Literal["error", "grow", "stream", "blocks", "chips"]


def _number(value: Any) -> Any:
    """Turn text of digits into a number, which Literal does not do by itself."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _text(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


TableName: TypeAlias = Annotated[str, BeforeValidator(_text)]
WordBits: TypeAlias = Annotated[Literal[8, 16, 32], BeforeValidator(_number)]


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
    decoder: `fixed` entries, `huffman` streams, or `dense` weights, all of them
    decoder_placement: Huffman streams are decoded by each PE (`inline`), by one decoder for
        `shared_by` PEs (`shared`), or on their way from DRAM into the SRAM (`load`)
    decoder_design: how a Huffman decoder works; see docs/machine.md, Decoders
    huffman_alphabet: a symbol each for code and run (`separate`), or one for the pair (`joint`)
    bits_per_cycle: bits that a `bit_serial` decoder takes per cycle
    first_level_bits: width of the first table of a `two_level` decoder
    entries_per_cycle, window_bits: most entries, and bits, that a `multi_symbol` decoder takes per cycle
    sub_streams: parts of each column that have a decoder each
    shared_by: PEs that one decoder serves (`shared`, `load`)
    column_alignment: columns begin at any bit, at a byte, or at a weight-SRAM row
    multipliers: entries that a PE's datapath takes per cycle
    row_buffer_rows: weight-SRAM rows that a PE holds; all but one are prefetched
    sram_latency_cycles: wait for a row that is not in the buffer; 0 if rows always come in time
    weights_in: `sram`, or `dram` to stream every layer's weights and pointers for each input
    max_code_length: longest Huffman word of the on-chip streams, in bits
    *_sram_bytes: capacity per PE
    overflow: what happens when a layer does not fit: `error`, `grow` the memories, `stream` weights and
        activations from DRAM, do it in `blocks` of columns, or spread it over more `chips`
    vector_lanes: lanes of the vector unit (pooling, sums, cells); None: as many as PEs
    technology, dram: names of tables in accelsim/hardware/technologies, or paths
    dram_energy: by one figure `per_bit`, or by the `commands` that a stream takes
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "custom"
    pes: int = Field(ge=1, le=MOST_PES)
    queue_depth: int = Field(ge=2, le=65536)
    row_bits: int = Field(ge=1, le=65536)
    code_bits: int = Field(ge=1, le=8)
    run_bits: int = Field(ge=1, le=8)
    pointer_bits: int = Field(ge=1, le=64)
    arithmetic_bits: WordBits
    activation_frac_bits: int | None = Field(default=None, ge=0, le=30)
    clock_mhz: float = Field(ge=0.001, le=100_000)
    decoder: DecoderName
    decoder_placement: Placement = "inline"
    decoder_design: DesignName = "pair"
    huffman_alphabet: Literal["separate", "joint"] = "separate"
    bits_per_cycle: int = Field(default=1, ge=1, le=64)
    first_level_bits: int = Field(default=8, ge=1, le=15)
    entries_per_cycle: int = Field(default=2, ge=1, le=16)
    window_bits: int = Field(default=12, ge=1, le=24)
    sub_streams: int = Field(default=1, ge=1, le=16)
    shared_by: int = Field(default=4, ge=1, le=65536)
    column_alignment: Alignment = "bit"
    multipliers: int = Field(default=1, ge=1, le=16)
    row_buffer_rows: int = Field(default=1, ge=1, le=64)
    sram_latency_cycles: int = Field(default=0, ge=0, le=64)
    weights_in: Literal["sram", "dram"] = "sram"
    max_code_length: int = Field(default=11, ge=8, le=15)
    weight_sram_bytes: int = Field(ge=1, le=2**40)
    pointer_sram_bytes: int = Field(ge=1, le=2**40)
    activation_sram_bytes: int = Field(ge=1, le=2**40)
    overflow: Overflow = "error"
    vector_lanes: int | None = Field(default=None, ge=1, le=65536)
    technology: TableName
    dram: TableName
    dram_energy: Literal["per_bit", "commands"] = "per_bit"

    @field_validator("*", mode="before")
    @classmethod
    def _nothing_is_true_or_false(cls, value: Any) -> Any:
        if isinstance(value, bool):  # pydantic would take it for 1 or 0
            raise ValueError("is no number and no name: give one, as in docs/machine.md")
        return value

    @model_validator(mode="after")
    def _an_entry_fits_a_row(self) -> "Accelerator":
        if self.decoder != "dense" and self.row_bits < self.entry_bits:
            raise ValueError(
                f"row_bits={self.row_bits} is less than one entry of "
                f"code_bits + run_bits = {self.entry_bits} bits"
            )
        return self

    @model_validator(mode="after")
    def _only_huffman_streams_are_decoded(self) -> "Accelerator":
        if self.decoder == "huffman":
            return self
        for field in HUFFMAN_FIELDS:
            if getattr(self, field) != type(self).model_fields[field].default:
                raise ValueError(
                    f"{field}={getattr(self, field)} is for Huffman streams, but "
                    f"decoder={self.decoder}: set decoder=huffman, or leave {field} out"
                )
        return self

    @model_validator(mode="after")
    def _columns_of_fixed_width_align_to_rows(self) -> "Accelerator":
        streams_in_sram = self.decoder == "huffman" and self.decoder_placement != "load"
        if self.column_alignment == "byte" and not streams_in_sram:
            raise ValueError(
                f"column_alignment=byte is for Huffman streams in the weight SRAM, and with "
                f"decoder={self.decoder}, decoder_placement={self.decoder_placement} there are none: "
                "set column_alignment=row or bit"
            )
        return self

    @property
    def entry_bits(self) -> int:
        """Bits of one fixed-width entry."""
        return self.code_bits + self.run_bits

    @property
    def lanes(self) -> int:
        """Lanes of the vector unit."""
        return self.pes if self.vector_lanes is None else self.vector_lanes

    @property
    def cycle_us(self) -> float:
        """Length of a clock cycle in microseconds."""
        return 1.0 / self.clock_mhz

    def with_decoder(self, decoder: DecoderName) -> "Accelerator":
        """This machine with another decoder, without what only Huffman streams have."""
        if decoder == "huffman":
            return self.replace(decoder=decoder)
        defaults = {field: type(self).model_fields[field].default for field in HUFFMAN_FIELDS}
        alignment = "bit" if self.column_alignment == "byte" else self.column_alignment
        return self.replace(decoder=decoder, column_alignment=alignment, **defaults)

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


def parse_override(text: str, option: str = "--set") -> tuple[str, Any]:
    """`field=value` of an option of the command line. Raises HardwareError if it is not of that form."""
    field, equals, value = text.partition("=")
    if not equals or not field.strip() or not value.strip():
        raise HardwareError(f"{option} {text}: write field=value, as in {option} pes=32")
    if value.strip().lower() == "none":
        return field.strip(), None
    return field.strip(), value.strip()
