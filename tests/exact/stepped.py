"""The PE array, one cycle at a time: slow, obvious, and the judge of the fast kernels.

Nothing here is shared with `accelsim`, and no formula for time is used: every cycle steps the
broadcaster and every PE once, and what they do is counted. The model does its own encoding, from
dense codes, and its own decoding.

How a layer lies in the machine (P PEs):

* Output row `r` lives in PE `r mod P`, at local row `r div P`.
* Activations stand in lines of P words. The bias is one more column with activation 1.0, in the
  first slot of the line after the last activation line; without a bias there is no such column.
* A PE's part of a column is a list of entries (code, run); `run` is the number of zeros before the
  entry among the PE's local rows. A gap too long for `run` is bridged by padding entries (code 0,
  the longest run).
* Instead of codes, the bias may be stored exactly: one plain word per local row, zeros too, from
  the next fresh weight-SRAM row on.
* A dense machine stores every code of every column as a plain word, zeros too, one column after the
  other (the slots between the last input and the bias have no words) and needs no pointers.
* A PE reads one weight-SRAM row a cycle, so a plain word wider than a row takes several cycles; it
  enters the datapath in the last of them. A Huffman entry takes one cycle however many rows it
  lies in.

Two conventions for layers in which little happens:

* without any broadcast (no active input, no bias) `cycles` and `utilization_frac` are 0;
* with broadcasts but no entry anywhere, the last entry is taken to be in cycle 0: `cycles` is the
  drain alone, 6.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

PIPELINE_DRAIN_CYCLES = 6
BIAS_ACTIVATION = 1.0


# ------------------------------------------------------------------------------
# Encoding: dense codes to entries
# ------------------------------------------------------------------------------


class Entry(NamedTuple):
    """One stored weight: its code, and how many zeros it skips. Code 0 is padding."""

    code: int
    run: int


def encode_column(local_codes: Sequence[int], max_run: int) -> list[Entry]:
    """Relative-index one PE's part of a column; zeros after the last non-zero code cost nothing."""
    entries = []
    gap = 0
    for code in local_codes:
        if code == 0:
            gap += 1
            continue
        while gap > max_run:
            entries.append(Entry(code=0, run=max_run))
            gap -= max_run + 1  # the padding entry itself stands for one more zero
        entries.append(Entry(code=code, run=gap))
        gap = 0
    return entries


def canonical_codes(lengths: Sequence[int]) -> dict[int, str]:
    """Symbol to bit string: by (length, symbol), from all zeros on, by increment and shift.

    A symbol of length 0 does not occur and gets no code.
    """
    by_length = sorted((int(length), symbol) for symbol, length in enumerate(lengths) if length > 0)
    table = {}
    code, previous_length = 0, 0
    for length, symbol in by_length:
        code <<= length - previous_length
        assert code < 1 << length, "these lengths are not those of a prefix code"
        table[symbol] = format(code, f"0{length}b")
        code, previous_length = code + 1, length
    return table


# ------------------------------------------------------------------------------
# Weight memory of one PE: where entries lie, and what reading one yields
# ------------------------------------------------------------------------------


class Fetched(NamedTuple):
    """What one PE gets out of its weight memory in one cycle."""

    weight: float
    run: int
    is_padding: bool
    sram_rows: range  # the rows that its bits lie in
    next_address: int


class Storage(Protocol):
    """Columns of weights at addresses, which count entries, bits or words, as the storage likes.

    rows_per_cycle: how many weight-SRAM rows a PE reads in a cycle; None for all that an entry
    lies in.
    """

    rows_per_cycle: int | None

    def span(self, column: int) -> tuple[int, int]:
        """First address of the column and the address after its last."""
        ...

    def fetch(self, address: int) -> Fetched:
        """Read what starts at an address."""
        ...


def _starts(sizes: Sequence[int]) -> list[int]:
    """Start of each of several things that lie one after the other, and the end of the last."""
    starts = [0]
    for size in sizes:
        starts.append(starts[-1] + size)
    return starts


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)


class FixedStorage:
    """Entries of equal width, as many whole ones in a row as fit.

    An address is an entry's position.
    """

    rows_per_cycle = 1
    has_pointers = True

    def __init__(
        self,
        columns: list[list[Entry]],
        codebook: NDArray[np.float32],
        entries_per_row: int,
    ) -> None:
        assert entries_per_row >= 1, "an entry is wider than a row"
        self.codebook = codebook
        self.entries_per_row = entries_per_row
        self.entries = [entry for column in columns for entry in column]
        self.starts = _starts([len(column) for column in columns])

    @property
    def rows_used(self) -> int:
        return _ceil_div(len(self.entries), self.entries_per_row)

    def span(self, column: int) -> tuple[int, int]:
        return self.starts[column], self.starts[column + 1]

    def fetch(self, address: int) -> Fetched:
        code, run = self.entries[address]
        row = address // self.entries_per_row
        weight = float(self.codebook[code])
        return Fetched(weight, run, code == 0, range(row, row + 1), address + 1)


class HuffmanStorage:
    """A string of bits: per entry the code symbol, then the run symbol.

    An address is a bit's position. An entry may straddle rows; it is still decoded in one cycle.
    """

    rows_per_cycle = None
    has_pointers = True

    def __init__(
        self,
        columns: list[list[Entry]],
        codebook: NDArray[np.float32],
        row_bits: int,
        code_lengths: Sequence[int],
        run_lengths: Sequence[int],
    ) -> None:
        self.codebook = codebook
        self.row_bits = row_bits
        code_table, run_table = canonical_codes(code_lengths), canonical_codes(run_lengths)
        encoded = [[code_table[e.code] + run_table[e.run] for e in column] for column in columns]
        self.bits = "".join(word for column in encoded for word in column)
        self.starts = _starts([len("".join(column)) for column in encoded])
        self.code_of_bits = {bits: symbol for symbol, bits in code_table.items()}
        self.run_of_bits = {bits: symbol for symbol, bits in run_table.items()}
        entries = [entry for column in columns for entry in column]
        addresses = _starts([len(word) for column in encoded for word in column])[:-1]
        self.encoded_at = dict(zip(addresses, entries, strict=True))

    @property
    def rows_used(self) -> int:
        return _ceil_div(len(self.bits), self.row_bits)

    def span(self, column: int) -> tuple[int, int]:
        return self.starts[column], self.starts[column + 1]

    def fetch(self, address: int) -> Fetched:
        code, after_code = self._decode(address, self.code_of_bits)
        run, after_run = self._decode(after_code, self.run_of_bits)
        assert Entry(code, run) == self.encoded_at[address], "decoded entry is not the encoded one"
        rows = range(address // self.row_bits, (after_run - 1) // self.row_bits + 1)
        return Fetched(float(self.codebook[code]), run, code == 0, rows, after_run)

    def _decode(self, address: int, symbol_of_bits: dict[str, int]) -> tuple[int, int]:
        """The symbol whose code starts at a bit, and the bit after it."""
        end = address + 1
        while self.bits[address:end] not in symbol_of_bits:
            assert end < len(self.bits), "the stream ends inside a symbol"
            end += 1
        return symbol_of_bits[self.bits[address:end]], end


class WordRows:
    """Rows that plain words lie in: whole words, or whole rows, whichever is the wider."""

    def __init__(self, row_bits: int, word_bits: int) -> None:
        self.row_bits = row_bits
        self.word_bits = word_bits

    def of_word(self, position: int) -> range:
        """The rows of one word, counted from the first word's row."""
        if self.word_bits <= self.row_bits:
            row = position // (self.row_bits // self.word_bits)
            return range(row, row + 1)
        rows_per_word = _ceil_div(self.word_bits, self.row_bits)
        return range(position * rows_per_word, (position + 1) * rows_per_word)

    def used_by(self, words: int) -> int:
        """Rows that the first `words` words take."""
        return self.of_word(words - 1).stop if words else 0


class DenseStorage:
    """Every code of every column as a plain word of its weight. An address is a word's position.

    columns: column number to the PE's codes, in the order in which they are stored.
    """

    rows_per_cycle = 1
    has_pointers = False

    def __init__(
        self,
        columns: dict[int, list[int]],
        codebook: NDArray[np.float32],
        word_rows: WordRows,
    ) -> None:
        self.codebook = codebook
        self.word_rows = word_rows
        self.codes: list[int] = []
        self.spans: dict[int, tuple[int, int]] = {}
        for column, local_codes in columns.items():
            start = len(self.codes)
            self.codes.extend(local_codes)
            self.spans[column] = start, len(self.codes)

    @property
    def rows_used(self) -> int:
        return self.word_rows.used_by(len(self.codes))

    def span(self, column: int) -> tuple[int, int]:
        return self.spans[column]

    def fetch(self, address: int) -> Fetched:
        code = self.codes[address]
        rows = self.word_rows.of_word(address)
        return Fetched(float(self.codebook[code]), 0, code == 0, rows, address + 1)


class BiasWords:
    """An exact bias: one plain word per local row, no runs. An address is a word's position."""

    rows_per_cycle = 1

    def __init__(
        self,
        local_values: NDArray[np.float32],
        first_row: int,
        word_rows: WordRows,
    ) -> None:
        self.values = local_values
        self.first_row = first_row
        self.word_rows = word_rows

    def span(self, column: int) -> tuple[int, int]:  # noqa: ARG002 - there is only the bias column
        return 0, len(self.values)

    def fetch(self, address: int) -> Fetched:
        value = float(self.values[address])
        rows = self.word_rows.of_word(address)
        rows = range(self.first_row + rows.start, self.first_row + rows.stop)
        return Fetched(value, 0, value == 0, rows, address + 1)


# ------------------------------------------------------------------------------
# The machine's parts
# ------------------------------------------------------------------------------


class Item(NamedTuple):
    """One broadcast: a column and the activation it is multiplied by."""

    column: int
    activation: float


class ActivationQueue:
    """A ring buffer of `depth` slots, of which one always stays free."""

    def __init__(self, depth: int) -> None:
        assert depth >= 2, "one slot stays free, so a queue of depth 1 holds nothing"
        self.slots: list[Item | None] = [None] * depth
        self.head = 0
        self.tail = 0

    def is_empty(self) -> bool:
        return self.head == self.tail

    def is_full(self) -> bool:
        return self._after(self.tail) == self.head

    def push(self, item: Item) -> None:
        assert not self.is_full()
        self.slots[self.tail] = item
        self.tail = self._after(self.tail)

    def pop(self) -> Item:
        assert not self.is_empty()
        item = self.slots[self.head]
        assert item is not None
        self.head = self._after(self.head)
        return item

    def _after(self, slot: int) -> int:
        return (slot + 1) % len(self.slots)


class Broadcaster:
    """Scans the activation lines, left to right, and sends one non-zero value a cycle to all PEs.

    lines float32[n_lines, P].
    """

    def __init__(self, lines: NDArray[np.float32]) -> None:
        self.lines = lines
        self.pes = lines.shape[1]
        self.is_loaded = False
        self.line = 0
        self.slot = 0
        self.broadcasts = 0
        self.stall_cycles = 0

    def is_done(self) -> bool:
        return self.line == len(self.lines)

    def step(self, is_any_queue_full: bool) -> Item | None:
        """One cycle; the item that is broadcast in it, if any."""
        if not self.is_loaded:
            self.is_loaded = True  # cycle 1 loads the first line
            return None
        if self.is_done():
            return None
        slot = self._next_active_slot()
        if slot is None:
            self._go_to_next_line()  # costs this cycle
            return None
        if is_any_queue_full:
            self.stall_cycles += 1
            return None
        return self._broadcast(slot)

    def _next_active_slot(self) -> int | None:
        for slot in range(self.slot, self.pes):
            if self.lines[self.line, slot] != 0:
                return slot
        return None

    def _broadcast(self, slot: int) -> Item:
        item = Item(self.line * self.pes + slot, float(self.lines[self.line, slot]))
        self.broadcasts += 1
        self.slot = slot + 1
        if self.slot == self.pes:
            self._go_to_next_line()  # free, as the line's last slot was broadcast in this cycle
        return item

    def _go_to_next_line(self) -> None:
        self.line += 1
        self.slot = 0


class ProcessingElement:
    """Pops an item, reads its column's pointers, and puts at most one entry a cycle into the datapath."""

    def __init__(
        self,
        queue: ActivationQueue,
        weights: FixedStorage | HuffmanStorage | DenseStorage,
        bias_words: BiasWords | None,
        bias_column: int,
        local_rows: int,
    ) -> None:
        self.queue = queue
        self.weights = weights
        self.bias_words = bias_words
        self.bias_column = bias_column
        self.storage: Storage = weights  # where the current item's weights lie
        self.address = 0  # of the current item's next entry
        self.end_address = 0
        self.rows_read = 0  # of the current entry, which may need more cycles for the others
        self.activation = 0.0
        self.local_row = -1  # of the last entry processed
        self.accumulators = np.zeros(local_rows)
        self.row_register: int | None = None
        self.last_entry_cycle = 0
        self.pops = 0
        self.pointer_reads = 0
        self.row_reads = 0
        self.entries = 0
        self.padding = 0
        self.empty_columns = 0
        self.busy_cycles = 0
        self.starved_cycles = 0
        self.waiting_cycles = 0  # since the last item ended; starvation only if another item comes

    def has_entries_left(self) -> bool:
        return self.address < self.end_address

    def is_done(self) -> bool:
        return self.queue.is_empty() and not self.has_entries_left()

    def step(self, cycle: int) -> None:
        """One cycle: pop if the last item is finished, then work on one entry if there is one."""
        if not self.has_entries_left():
            if self.queue.is_empty():
                self.waiting_cycles += 1
                return
            self._start_item(self.queue.pop())
        if self.has_entries_left():
            self._work_on_entry(cycle)

    def _start_item(self, item: Item) -> None:
        is_first = self.pops == 0
        self.pops += 1
        self.pointer_reads += self.weights.has_pointers
        self.starved_cycles += 0 if is_first else self.waiting_cycles
        self.waiting_cycles = 0
        self.storage = self._storage_of(item.column)
        self.address, self.end_address = self.storage.span(item.column)
        self.activation = item.activation
        self.local_row = -1
        self.empty_columns += not self.has_entries_left()

    def _storage_of(self, column: int) -> Storage:
        if self.bias_words is not None and column == self.bias_column:
            return self.bias_words
        return self.weights

    def _work_on_entry(self, cycle: int) -> None:
        """Read as many rows as one cycle allows, and process the entry if these were its last."""
        self.busy_cycles += 1
        fetched = self.storage.fetch(self.address)
        rows = fetched.sram_rows[self.rows_read :][: self.storage.rows_per_cycle]
        self._read_rows(rows)
        self.rows_read += len(rows)
        if self.rows_read == len(fetched.sram_rows):
            self.rows_read = 0
            self._process_entry(fetched, cycle)

    def _process_entry(self, fetched: Fetched, cycle: int) -> None:
        self.address = fetched.next_address
        self.local_row += fetched.run + 1
        self.accumulators[self.local_row] += fetched.weight * self.activation
        self.entries += 1
        self.padding += fetched.is_padding
        self.last_entry_cycle = cycle

    def _read_rows(self, rows: range) -> None:
        """The row register keeps the last row read; only another row costs a read."""
        for row in rows:
            if row != self.row_register:
                self.row_reads += 1
                self.row_register = row


# ------------------------------------------------------------------------------
# The whole machine
# ------------------------------------------------------------------------------


@dataclass(frozen=True)
class SteppedResult:
    """What happened; the arrays are int64[P] unless said otherwise.

    entries: processed, padding included. padding: processed entries of code 0, or bias words of
    value 0.
    empty_columns: items that had no entry. busy_cycles: cycles in which an entry was worked on.
    starved_cycles: cycles between a PE's first and last pop in which it waited for an item.
    stall_cycles: cycles in which a broadcast was ready but some queue was full.
    utilization_frac: entries that are no padding ÷ (cycles × P). output: float64[n_out].
    """

    cycles: int
    broadcasts: int
    stall_cycles: int
    pointer_reads: int
    sram_row_reads: int
    utilization_frac: float
    row_reads: NDArray[np.int64]
    entries: NDArray[np.int64]
    padding: NDArray[np.int64]
    empty_columns: NDArray[np.int64]
    busy_cycles: NDArray[np.int64]
    starved_cycles: NDArray[np.int64]
    output: NDArray[np.float64]


@dataclass(frozen=True)
class Machine:
    """Parameters of the PE array.

    code_lengths uint8[2**code_bits] and run_lengths uint8[2**run_bits]: for Huffman only.
    word_bits: width of plain words, which an exact bias and dense weights are.
    """

    pes: int
    queue_depth: int
    row_bits: int
    code_bits: int = 4
    run_bits: int = 4
    decoder: Literal["fixed", "huffman", "dense"] = "fixed"
    code_lengths: Sequence[int] | None = None
    run_lengths: Sequence[int] | None = None
    word_bits: int = 16


def simulate_stepped(
    codes: NDArray[np.uint8],
    codebook: NDArray[np.float32],
    activations: NDArray[np.float32],
    machine: Machine,
    *,
    bias_codes: NDArray[np.uint8] | None = None,
    bias_values: NDArray[np.float32] | None = None,
) -> SteppedResult:
    """Run one layer, cycle by cycle, until all PEs are done.

    codes uint8[n_out, n_in], codebook float32[2**code_bits], activations float32[n_in]; at
    most one of bias_codes uint8[n_out] and bias_values float32[n_out] (the exact bias).
    """
    assert bias_codes is None or bias_values is None, "a layer has one bias"
    has_bias = bias_codes is not None or bias_values is not None
    broadcaster = Broadcaster(activation_lines(activations, machine.pes, has_bias))
    stored_codes = with_bias_column(codes, bias_codes, machine.pes)
    used_columns = list(range(codes.shape[1]))
    if bias_codes is not None:
        used_columns.append(bias_column_of(codes.shape[1], machine.pes))
    pes = [
        build_pe(pe, stored_codes, used_columns, codebook, bias_values, machine)
        for pe in range(machine.pes)
    ]
    run_until_drained(broadcaster, pes)
    return collect(broadcaster, pes, n_out=len(codes))


def bias_column_of(n_in: int, pes: int) -> int:
    """Index of the bias column: the first slot of the line after the last activation line."""
    return _ceil_div(n_in, pes) * pes


def activation_lines(
    activations: NDArray[np.float32], pes: int, has_bias: bool
) -> NDArray[np.float32]:
    """Activations float32[n_in] as lines float32[n_lines, P], zero-filled, the bias in its own."""
    bias_slot = bias_column_of(len(activations), pes)
    slots = np.zeros(bias_slot + (pes if has_bias else 0), dtype=np.float32)
    slots[: len(activations)] = activations
    if has_bias:
        slots[bias_slot] = BIAS_ACTIVATION
    return slots.reshape(-1, pes)


def with_bias_column(
    codes: NDArray[np.uint8], bias_codes: NDArray[np.uint8] | None, pes: int
) -> NDArray[np.uint8]:
    """Codes uint8[n_out, bias column + 1]; columns between last input and bias are empty."""
    n_out, n_in = codes.shape
    bias_column = bias_column_of(n_in, pes)
    stored = np.zeros((n_out, bias_column + 1), dtype=np.uint8)
    stored[:, :n_in] = codes
    if bias_codes is not None:
        stored[:, bias_column] = bias_codes
    return stored


def build_pe(
    pe: int,
    stored_codes: NDArray[np.uint8],
    used_columns: list[int],
    codebook: NDArray[np.float32],
    bias_values: NDArray[np.float32] | None,
    machine: Machine,
) -> ProcessingElement:
    """One PE with its share of the layer: every P-th row, from row `pe` on."""
    local_codes = stored_codes[pe :: machine.pes]
    word_rows = WordRows(machine.row_bits, machine.word_bits)
    weights: FixedStorage | HuffmanStorage | DenseStorage
    if machine.decoder == "dense":
        dense_columns = {column: local_codes[:, column].tolist() for column in used_columns}
        weights = DenseStorage(dense_columns, codebook, word_rows)
    else:
        max_run = 2**machine.run_bits - 1
        columns = [encode_column(column, max_run) for column in local_codes.T.tolist()]
        weights = build_storage(columns, codebook, machine)
    bias_words = None
    if bias_values is not None:
        local_values = bias_values[pe :: machine.pes]
        bias_words = BiasWords(local_values, weights.rows_used, word_rows)
    return ProcessingElement(
        queue=ActivationQueue(machine.queue_depth),
        weights=weights,
        bias_words=bias_words,
        bias_column=stored_codes.shape[1] - 1,
        local_rows=len(local_codes),
    )


def build_storage(
    columns: list[list[Entry]], codebook: NDArray[np.float32], machine: Machine
) -> FixedStorage | HuffmanStorage:
    """Lay one PE's columns into its weight memory, as the machine's decoder expects them."""
    if machine.decoder == "fixed":
        entries_per_row = machine.row_bits // (machine.code_bits + machine.run_bits)
        return FixedStorage(columns, codebook, entries_per_row)
    assert machine.code_lengths is not None, "a Huffman decoder needs code lengths"
    assert machine.run_lengths is not None, "a Huffman decoder needs run lengths"
    return HuffmanStorage(
        columns, codebook, machine.row_bits, machine.code_lengths, machine.run_lengths
    )


def run_until_drained(broadcaster: Broadcaster, pes: list[ProcessingElement]) -> None:
    """Step all parts, cycle after cycle, until nothing is left to do.

    All parts see the machine as the cycle before left it: queues are tested for full before the PEs
    pop (a slot freed now can be written from the next cycle on), and written after (an item written
    now can be popped from the next cycle on).
    """
    cycle = 0
    while not (broadcaster.is_done() and all(pe.is_done() for pe in pes)):
        cycle += 1
        is_any_queue_full = any(pe.queue.is_full() for pe in pes)
        for pe in pes:
            pe.step(cycle)
        item = broadcaster.step(is_any_queue_full)
        if item is not None:
            for pe in pes:
                pe.queue.push(item)


def collect(broadcaster: Broadcaster, pes: list[ProcessingElement], n_out: int) -> SteppedResult:
    """Gather the counters, and the outputs from PE `r mod P`, local row `r div P`."""
    drained = PIPELINE_DRAIN_CYCLES + max(pe.last_entry_cycle for pe in pes)
    cycles = drained if broadcaster.broadcasts else 0
    useful = sum(pe.entries - pe.padding for pe in pes)
    return SteppedResult(
        cycles=cycles,
        broadcasts=broadcaster.broadcasts,
        stall_cycles=broadcaster.stall_cycles,
        pointer_reads=sum(pe.pointer_reads for pe in pes),
        sram_row_reads=sum(pe.row_reads for pe in pes),
        utilization_frac=useful / (cycles * len(pes)) if cycles else 0.0,
        row_reads=np.array([pe.row_reads for pe in pes]),
        entries=np.array([pe.entries for pe in pes]),
        padding=np.array([pe.padding for pe in pes]),
        empty_columns=np.array([pe.empty_columns for pe in pes]),
        busy_cycles=np.array([pe.busy_cycles for pe in pes]),
        starved_cycles=np.array([pe.starved_cycles for pe in pes]),
        output=np.array([pes[r % len(pes)].accumulators[r // len(pes)] for r in range(n_out)]),
    )


# ------------------------------------------------------------------------------
# Fixed-point arithmetic, in integers of any size
# ------------------------------------------------------------------------------


def saturate(value: int, bits: int) -> int:
    """The nearest value that a signed integer of `bits` bits can hold."""
    return max(-(1 << (bits - 1)), min((1 << (bits - 1)) - 1, value))


def quantize(value: float, frac: int, bits: int) -> int:
    """value × 2^frac, rounded half to even, saturated; exact, since Fraction holds any float."""
    return saturate(round(Fraction(float(value)) * Fraction(2) ** frac), bits)


def shift_right_rounded(value: int, shift: int) -> int:
    """value ÷ 2^shift, halves rounded up; a negative shift goes left and is exact."""
    if shift > 0:
        return (value + (1 << (shift - 1))) >> shift
    return value << -shift


def fixed_point_output(
    codes: NDArray[np.uint8],
    bias_codes: NDArray[np.uint8] | None,
    bias_values: NDArray[np.float32] | None,
    codebook: NDArray[np.float32],
    activations: NDArray[np.float32],
    act_frac: int,
    weight_frac: int,
    out_frac: int,
    bits: int = 16,
) -> list[int]:
    """The layer's output in units of 2^-out_frac, as a machine with `bits`-bit words computes it.

    Columns come in ascending order, the bias last. Each product is exact, is rounded to the format
    of the output, and is added with saturation. `act_frac` must not be negative where bias_codes
    are given: the bias's activation 1.0 is 2^act_frac, exact even where `bits` bits cannot hold it.
    """
    shift = act_frac + weight_frac - out_frac
    weights = [quantize(value, weight_frac, bits) for value in codebook]
    accumulators = [0] * len(codes)

    def accumulate(column: Sequence[int], activation: int) -> None:
        for row, code in enumerate(column):
            if code != 0:
                product = shift_right_rounded(weights[code] * activation, shift)
                accumulators[row] = saturate(accumulators[row] + product, bits)

    for column, value in zip(codes.T.tolist(), activations, strict=True):
        activation = quantize(value, act_frac, bits)
        if activation != 0:
            accumulate(column, activation)
    if bias_codes is not None:
        accumulate(bias_codes.tolist(), 1 << act_frac)
    if bias_values is not None:
        for row, value in enumerate(bias_values):
            bias = quantize(value, out_frac, bits)
            accumulators[row] = saturate(accumulators[row] + bias, bits)
    return accumulators
