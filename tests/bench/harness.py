"""Timing of one thing against another, in turn, in one run."""

import statistics
import time
from collections.abc import Callable


def compare(
    name: str,
    ours: Callable[[], object],
    baseline: Callable[[], object],
    *,
    baseline_name: str,
    rounds: int = 7,
    inner: int = 1,
    baseline_inner: int = 1,
) -> float:
    """Ratio baseline ÷ ours of median times, A B A B ..., after one warm-up each; printed."""
    ours()
    baseline()
    own, other = [], []
    for _ in range(rounds):
        own.append(_time(ours, inner))
        other.append(_time(baseline, baseline_inner))
    a, b = statistics.median(own), statistics.median(other)
    print(
        f"\n{name}: {_human(a)} (min {_human(min(own))}, max {_human(max(own))}); "
        f"{baseline_name}: {_human(b)}; ratio {b / a:.3g}"
    )
    return b / a


def _time(call: Callable[[], object], inner: int) -> float:
    start = time.perf_counter()
    for _ in range(inner):
        call()
    return (time.perf_counter() - start) / inner


def _human(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
