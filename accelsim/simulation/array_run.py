"""A whole layer on the PE array: all its vectors, piece by piece, added up."""

from typing import Any, NamedTuple

import numpy as np

from accelsim.simulation.pe_array import PeArray, Rules
from accelsim.simulation.vectors import Vectors

# Per-PE sums of a batch, in the names of `ArrayRun`.
PER_PE = ("entries", "padding", "service", "waits", "row_reads", "starved", "arbitration")


class ArrayRun(NamedTuple):
    """Sums over all vectors of a layer.

    cycles: int64[examples], until drained, one vector after another
    broadcast_counts: int64[n_cols], how often each column was broadcast, the bias last
    entries, padding, service, waits, row_reads, starved, arbitration: int64[P]
    """

    cycles: Any
    stall_cycles: int
    broadcast_counts: Any
    entries: Any
    padding: Any
    service: Any
    waits: Any
    row_reads: Any
    starved: Any
    arbitration: Any

    @property
    def broadcasts(self) -> int:
        """Broadcasts of all vectors."""
        return int(self.broadcast_counts.sum())


def run_array(
    array: PeArray, vectors: Vectors, rules: Rules, columns: slice = slice(None)
) -> ArrayRun:
    """Run all vectors of a layer, or the part of them that an array of some of its columns sees."""
    counts = np.zeros(len(array.plan.entries), dtype=np.int64)
    cycles = np.zeros(vectors.examples, dtype=np.int64)
    sums = {name: np.zeros(array.pes, dtype=np.int64) for name in PER_PE}
    stalls = 0
    for piece in vectors.pieces(np.int32):
        active = np.ascontiguousarray((piece.columns[columns] != 0).T).view(np.uint8)
        batch = array.run_batch(active, rules)
        counts += batch.column_counts
        cycles[piece.example] += batch.cycles.sum()
        stalls += int(batch.stall_cycles.sum())
        for name in PER_PE:
            sums[name] += getattr(batch, name)
    return ArrayRun(cycles, stalls, counts, **sums)


def joined(runs: list[ArrayRun]) -> ArrayRun:
    """Runs of the column blocks of a layer, one after the other."""
    if len(runs) == 1:
        return runs[0]
    return ArrayRun(
        sum(run.cycles for run in runs),
        sum(run.stall_cycles for run in runs),
        np.concatenate([run.broadcast_counts for run in runs]),
        **{name: sum(getattr(run, name) for run in runs) for name in PER_PE},
    )
