"""Machine code on disk is used again, but never after a source that it was made from has changed."""

import subprocess
import sys
from pathlib import Path

from accelsim.kernels import _jit

OUTER = """
from kernels._jit import jit
from kernels.inner import step

@jit
def run(n):
    total = 0
    for i in range(n):
        total += step(i)
    return total
"""
INNER = """
from kernels._jit import jit

@jit
def step(i):
    return {}
"""
CALL = "from kernels.outer import run; print(run(4), sum(run.stats.cache_hits.values()))"


def run(folder: Path) -> tuple[int, int]:
    """Result and cache hits of a fresh process."""
    done = subprocess.run(
        [sys.executable, "-c", CALL], cwd=folder, capture_output=True, text=True, check=True
    )
    result, hits = done.stdout.split()
    return int(result), int(hits)


def test_machine_code_follows_the_source_of_every_kernel(tmp_path):
    package = tmp_path / "kernels"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_jit.py").write_text(Path(_jit.__file__).read_text(encoding="utf-8"))
    (package / "outer.py").write_text(OUTER)
    (package / "inner.py").write_text(INNER.format("i"))
    assert run(tmp_path) == (6, 0)
    assert run(tmp_path) == (6, 1)
    (package / "inner.py").write_text(INNER.format("10 * i"))
    assert run(tmp_path) == (60, 0)
    assert run(tmp_path) == (60, 1)
