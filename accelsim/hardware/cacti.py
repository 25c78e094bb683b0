"""An SRAM by running CACTI itself, where it is installed: any capacity, any width, 22 to 90 nm."""

import csv
import math
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from accelsim.errors import TechnologyError
from accelsim.hardware.dram import TABLES
from accelsim.hardware.sram import Sram

SETTINGS = TABLES / "cacti.cfg"
EXECUTABLE = "ACCELSIM_CACTI"
TIME_LIMIT_S = 60.0
# Below these CACTI finds no organisation of the array.
LEAST_BYTES = 64
LEAST_ROWS = 32
# The columns of its result file, in the order of `Sram`, and what makes them ours.
COLUMNS = {
    "Dynamic read energy (nJ)": 1e3,
    "Dynamic write energy (nJ)": 1e3,
    "Standby leakage per bank(mW)": 1.0,
    "Area (mm2)": 1.0,
    "Random cycle time (ns)": 1.0,
}


def sram_from_cacti(node_nm: int, capacity_bytes: int, width_bits: int) -> Sram:
    """An SRAM as CACTI computes it with the settings of cacti.cfg, those of the grid.

    The executable is what ACCELSIM_CACTI names, or `cacti` on the path. Widths are whole bytes; below
    the smallest capacity the smallest is built. A result is kept for the life of the process. Raises
    TechnologyError where CACTI is not there or has no answer.
    """
    capacity = max(capacity_bytes, least_capacity(width_bits))
    macro = _computed(_executable(), node_nm, capacity, _word_bytes(width_bits))
    return macro._replace(capacity_bytes=capacity_bytes, width_bits=width_bits)


def least_capacity(width_bits: int) -> int:
    """Bytes of the smallest SRAM of this width."""
    return max(LEAST_BYTES, LEAST_ROWS * _word_bytes(width_bits))


def _word_bytes(width_bits: int) -> int:
    return -(-width_bits // 8)


def _executable() -> Path:
    named = os.environ.get(EXECUTABLE)
    found = shutil.which(named or "cacti")
    if found is None:
        place = f"{EXECUTABLE}={named}" if named else "no executable 'cacti' on the path"
        raise TechnologyError(
            f"sram='cacti': {place}: install CACTI and name its executable in {EXECUTABLE}, or use a grid"
        )
    return Path(found).resolve()


@cache
def _computed(executable: Path, node_nm: int, capacity_bytes: int, word_bytes: int) -> Sram:
    what = f"{capacity_bytes} bytes x {8 * word_bytes} bits at {node_nm} nm"
    with TemporaryDirectory(prefix="accelsim-cacti-") as folder:
        asked = Path(folder) / "sram.cfg"
        asked.write_text(_question(node_nm, capacity_bytes, word_bytes), encoding="utf-8")
        said = _run(executable, asked, what)
        answer = Path(f"{asked}.out")  # CACTI's own choice
        if not answer.exists():
            raise TechnologyError(f"{executable}: no SRAM of {what}: {said}")
        row = _last_row(answer)
    read, write, leakage, area, cycle_time = (
        scale * _number(executable, row, name) for name, scale in COLUMNS.items()
    )
    source = f"CACTI, run here: {what}"
    return Sram(capacity_bytes, 8 * word_bytes, read, write, leakage, area, cycle_time, source)


def _question(node_nm: int, capacity_bytes: int, word_bytes: int) -> str:
    """The settings, and the SRAM that is asked for, in CACTI's own form."""
    asked = [
        f"-size (bytes) {capacity_bytes}",
        f"-block size (bytes) {word_bytes}",
        f"-output/input bus width {8 * word_bytes}",
        f"-technology (u) {node_nm / 1000:g}",
    ]
    return SETTINGS.read_text(encoding="utf-8") + "\n".join(asked) + "\n"


def _run(executable: Path, asked: Path, what: str) -> str:
    """The last line that CACTI says. It reads the tables of its nodes from where it stands."""
    try:
        done = subprocess.run(
            [executable, "-infile", asked],
            cwd=executable.parent,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=TIME_LIMIT_S,
            check=False,
        )
    except OSError as error:
        raise TechnologyError(f"{executable}: cannot be run: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise TechnologyError(
            f"{executable}: no answer within {TIME_LIMIT_S:g} s for {what}: use a grid"
        ) from None
    lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return lines[-1] if lines else f"it ended with code {done.returncode} and said nothing"


def _last_row(answer: Path) -> dict[str, str]:
    """Cells of the last row by column; both lines end in a comma."""
    with answer.open(newline="", encoding="utf-8", errors="replace") as file:
        lines = [[cell.strip() for cell in line] for line in csv.reader(file)]
    return dict(zip(lines[0], lines[-1], strict=False)) if len(lines) > 1 else {}


def _number(executable: Path, row: dict[str, str], name: str) -> float:
    cell = row.get(name, "nothing")
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise TechnologyError(
            f"{executable}: its result has {cell} as {name!r}: use CACTI 7, or a grid"
        )
    return value
