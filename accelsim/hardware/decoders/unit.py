"""What a decoder is made of, and how often its parts are used: what energy and area are worked out from."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class DecodingTable(NamedTuple):
    """A memory of one decoder.

    reads: per coded entry (int), or by all PEs together per column (int64[n_cols]); of a decoder on the
        way from DRAM, per load of the whole layer (int)
    """

    name: str
    words: int
    width_bits: int
    reads: Any

    @property
    def bits(self) -> int:
        """Storage."""
        return self.words * self.width_bits


class Shifter(NamedTuple):
    """The register that a decoder takes the next bits of its stream from.

    width_bits: of the register, which moves up by what was decoded
    compared_bits: of registers that are compared with it at each shift
    shifts: counted as `DecodingTable.reads`
    """

    width_bits: int
    compared_bits: int
    shifts: Any


class DecoderUse(NamedTuple):
    """Reads of each table, by its name, and shifts, of all decoders."""

    reads: dict[str, int]
    shifts: int


class DecoderUnit(NamedTuple):
    """A decoder, of which the array has `instances`.

    on_load: they work between DRAM and SRAM, else between SRAM and datapath
    """

    design: str
    instances: int
    tables: tuple[DecodingTable, ...]
    shifter: Shifter | None
    on_load: bool = False

    @property
    def table_bits(self) -> int:
        """Storage of one decoder."""
        return sum(table.bits for table in self.tables)

    def use(self, broadcasts: Any, coded_entries: int, loads: int) -> DecoderUse:
        """See `DecodedLayer.use`."""

        def total(count: Any) -> int:
            if self.on_load:
                return loads * int(count)
            if isinstance(count, int):
                return coded_entries * count
            # An exact bias is the column after those that are coded.
            return int(count @ broadcasts[: count.size])

        reads = {table.name: total(table.reads) for table in self.tables}
        return DecoderUse(reads, total(self.shifter.shifts) if self.shifter else 0)

    def per_load(self, coded_entries: int) -> "DecoderUnit":
        """The same decoder on the way from DRAM, where all columns are decoded, one after the other."""

        def total(count: Any) -> int:
            return coded_entries * count if isinstance(count, int) else int(count.sum())

        tables = tuple(table._replace(reads=total(table.reads)) for table in self.tables)
        shifter = self.shifter and self.shifter._replace(shifts=total(self.shifter.shifts))
        return self._replace(tables=tables, shifter=shifter, on_load=True)


NO_DECODER = DecoderUnit("none", 0, (), None)


def unit_for_all(units: Sequence[DecoderUnit]) -> DecoderUnit:
    """The decoder that can decode every layer: each table as large as any layer needs it.

    What it says of reads and shifts is that of single layers, and no use here.
    """
    tables: dict[str, DecodingTable] = {}
    for table in (table for unit in units for table in unit.tables):
        known = tables.setdefault(table.name, table)
        tables[table.name] = known._replace(
            words=max(known.words, table.words), width_bits=max(known.width_bits, table.width_bits)
        )
    shifters = [unit.shifter for unit in units if unit.shifter]
    shifter = None
    if shifters:
        shifter = Shifter(
            max(shifter.width_bits for shifter in shifters),
            max(shifter.compared_bits for shifter in shifters),
            shifts=0,
        )
    return units[0]._replace(tables=tuple(tables.values()), shifter=shifter)
