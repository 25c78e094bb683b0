"""What a user waits for: whole processes."""

import subprocess
import sys

from bench.bench_machine import fc8_path
from bench.harness import compare


def run(*arguments):
    return lambda: subprocess.run([sys.executable, *arguments], check=True, capture_output=True)


def test_import():
    ratio = compare(
        "import accelsim",
        run("-c", "import accelsim"),
        run("-c", "import numpy"),
        baseline_name="import numpy",
    )
    assert ratio > 1


def test_simulate_alexnet_fc8():
    program = "from accelsim.cli import main; main()"
    ratio = compare(
        "accelsim simulate alexnet_fc8.npz --json",
        run("-c", program, "simulate", str(fc8_path()), "--json"),
        run("-c", "import numba"),
        baseline_name="import numba",
    )
    assert ratio > 0.2
