"""Numbers as people read them: three significant digits, a fitting unit, names with units."""

import math
import re

MISSING = "—"

TIME_UNITS = ((1e-3, "ns"), (1.0, "µs"), (1e3, "ms"), (1e6, "s"))  # in µs
ENERGY_UNITS = ((1.0, "pJ"), (1e3, "nJ"), (1e6, "µJ"), (1e9, "mJ"), (1e12, "J"))  # in pJ
BYTE_UNITS = ((1.0, "B"), (1024.0, "KB"), (1024.0**2, "MB"), (1024.0**3, "GB"))

# Column names end in their unit; this is how the unit is written out.
SUFFIXES = {
    "_us": " (µs)",
    "_ms": " (ms)",
    "_pj": " (pJ)",
    "_uj": " (µJ)",
    "_mw": " (mW)",
    "_mm2": " (mm²)",
    "_mhz": " (MHz)",
    "_bytes": " (bytes)",
    "_pct": " (%)",
    "_frac": " (fraction)",
}
NAMES = {
    "pes": "PEs",
    "n_in": "inputs",
    "n_out": "outputs",
    "utilization_frac": "utilisation (fraction)",
    "code_bits": "bits per code",
    "run_bits": "bits per run",
    "index_bits": "bits per stored index",
    "row_bits": "row width (bits)",
}
WORDS = {"sram": "SRAM", "dram": "DRAM", "pes": "PEs", "pe": "PE"}


def number(value: float, digits: int = 3) -> str:
    """`digits` significant digits, thousands separated; a dash for a value that is missing."""
    if not math.isfinite(value):
        return MISSING if math.isnan(value) else str(value)
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    if not -4 <= exponent < 15:
        return f"{value:.{digits - 1}e}"
    return f"{value:,.{max(0, digits - 1 - exponent)}f}"


def short(value: float) -> str:
    """Write a number for an axis: no trailing zeros."""
    text = number(value)
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text


def time_text(latency_us: float) -> str:
    """Microseconds as ns, µs, ms or s."""
    return _scaled(latency_us, TIME_UNITS)


def energy_text(energy_pj: float) -> str:
    """Picojoules as pJ, nJ, µJ, mJ or J."""
    return _scaled(energy_pj, ENERGY_UNITS)


def bytes_text(n_bytes: float) -> str:
    """Bytes as B, KB, MB or GB, where 1 KB is 1024 bytes."""
    return _scaled(n_bytes, BYTE_UNITS)


def percent(fraction: float) -> str:
    """Write a fraction as per cent with one decimal."""
    return MISSING if math.isnan(fraction) else f"{100 * fraction:.1f}%"


def ratio_text(ratio: float) -> str:
    """`1.0×`, `12.6×`, `120×`, `0.054×`."""
    if not math.isfinite(ratio):
        return MISSING
    if ratio >= 99.95:
        return f"{number(ratio)}×"
    return f"{ratio:.1f}×" if ratio >= 0.95 else f"{number(ratio, 2)}×"


def label(column: str) -> str:
    """Write a column name in words, its unit in parentheses: `latency_us` is `latency (µs)`."""
    if column in NAMES:
        return NAMES[column]
    unit = next((text for suffix, text in SUFFIXES.items() if column.endswith(suffix)), "")
    stem = re.sub(r"_[a-z0-9]+$", "", column) if unit else column
    return " ".join(WORDS.get(word, word) for word in stem.split("_")) + unit


def setting(column: str, value: object) -> str:
    """One machine setting in words: `64 PEs`, `queue depth 8`."""
    if column == "pes":
        return f"{value} PE" if value == 1 else f"{value} PEs"
    return f"{label(column)} {value}"


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    if not math.isfinite(value):
        return MISSING
    fits = [unit for unit in units if abs(float(f"{value / unit[0]:.2e}")) >= 1]
    factor, name = fits[-1] if fits else units[0]
    return f"{number(value / factor)} {name}"
