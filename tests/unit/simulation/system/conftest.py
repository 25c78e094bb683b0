"""Systems with round numbers."""

import pytest
from unit.simulation.system.systems import DRAM, LINK, US

from accelsim.hardware.accelerator import accelerator
from accelsim.simulation.system.host import OpenLoop
from accelsim.simulation.system.model import run_system
from accelsim.simulation.system.stages import build_system
from accelsim.simulation.system.work import NetworkWork


@pytest.fixture
def build(tmp_path):
    """A system of such layers."""
    table = tmp_path / "round.toml"
    table.write_text(DRAM, encoding="utf-8")
    machine = accelerator("eie-64", dram=str(table))

    def build(*layers, chips=1, arrangement="replicated", batch=1, timeout_us=0, **power):
        power = {"clock_mw": 100.0, "leakage_mw": 10.0} | power
        return build_system(
            NetworkWork("made up", machine, layers, **power),
            LINK,
            arrangement=arrangement,
            chips=chips,
            batch=batch,
            batch_timeout_ps=round(timeout_us * US),
        )

    return build


@pytest.fixture
def times():
    """Run requests that come at such times; (start, end) of each, in microseconds."""

    def times(system, arrivals_us):
        counted = run_system(system, OpenLoop([round(time * US) for time in arrivals_us]))
        return [
            (start / US, end / US)
            for start, end, size in zip(
                counted.start_ps.tolist(), counted.end_ps.tolist(), counted.size, strict=True
            )
            for _ in range(size)
        ]

    return times
