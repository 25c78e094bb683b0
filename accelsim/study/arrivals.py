"""When requests come: drawn, or from a file."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import FileFormatError, InputError
from accelsim.network.files import checked_file, naming_file
from accelsim.network.npz import read_array

TraceLike: TypeAlias = str | Path | Sequence[float] | NDArray[Any]

MAX_REQUESTS = 10_000_000
MAX_TIME_US = 1e12  # 11 days, far within 64-bit picoseconds
LEAST_RATE_PER_S = 1e6 / MAX_TIME_US
COLUMN = "arrival_us"
LIMIT_BYTES = 2**28


def poisson_ps(rate_per_s: float, requests: int, seed: int) -> list[int]:
    """Arrival times of a Poisson process, in whole picoseconds. Raises InputError if they run too far.

    Gaps between arrivals are exponential with mean 1/rate; the first one is a gap after time 0.
    """
    if rate_per_s < LEAST_RATE_PER_S:
        raise InputError(
            f"rate_per_s={rate_per_s:g}: is a request in more than {MAX_TIME_US:g} us: "
            f"give a rate of at least {LEAST_RATE_PER_S:g}"
        )
    gaps_us = np.random.default_rng(seed).exponential(1e6 / rate_per_s, requests)
    times_us = np.cumsum(gaps_us)
    if times_us[-1] > MAX_TIME_US:
        raise InputError(
            f"rate_per_s={rate_per_s:g}: {requests} requests take longer than {MAX_TIME_US:g} us: "
            "give a higher rate or fewer requests"
        )
    return _picoseconds(times_us)


def trace_ps(trace: TraceLike) -> list[int]:
    """Arrival times in whole picoseconds, from microseconds: an array, a .npy file, or a CSV.

    A CSV has a column `arrival_us`. Raises InputError unless the times are finite, in order and not
    before 0.
    """
    if isinstance(trace, str | Path):
        path = checked_file(trace, LIMIT_BYTES)
        with naming_file(path):
            values = read_array(path) if path.suffix.lower() == ".npy" else _csv_times(path)
            return _checked(values)
    return _checked(trace)


def _csv_times(path: Path) -> list[float]:
    with path.open(encoding="utf-8-sig", newline="", errors="replace") as file:
        rows = csv.DictReader(file)
        if COLUMN not in (rows.fieldnames or []):
            raise FileFormatError(f"has no column '{COLUMN}': add it, in microseconds")
        times = []
        for number, row in enumerate(rows, start=2):
            try:
                times.append(float(row[COLUMN]))
            except (TypeError, ValueError):
                raise FileFormatError(
                    f"line {number}: {COLUMN} is '{row[COLUMN]}': write a number"
                ) from None
        return times


def _checked(values: Any) -> list[int]:
    try:
        times = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise FileFormatError("arrival times are not all numbers: give microseconds") from None
    if times.ndim != 1 or not 1 <= times.size <= MAX_REQUESTS:
        raise FileFormatError(
            f"arrival times have shape {times.shape}: give a list of 1 to {MAX_REQUESTS:,}"
        )
    if not np.isfinite(times).all() or times.min() < 0 or times.max() > MAX_TIME_US:
        raise FileFormatError(f"arrival times must lie between 0 and {MAX_TIME_US:g} microseconds")
    if (np.diff(times) < 0).any():
        late = int(np.argmax(np.diff(times) < 0)) + 2  # counted from 1, as lines of a file are
        raise FileFormatError(f"arrival times are not in order: request {late} comes too early")
    return _picoseconds(times)


def _picoseconds(times_us: Any) -> list[int]:
    times: list[int] = np.rint(1e6 * times_us).astype(np.int64).tolist()
    return times
