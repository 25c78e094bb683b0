import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from accelsim.baseline.measured.device import this_device
from accelsim.baseline.measured.device_power import PowerSpecification
from accelsim.baseline.measured.record import KernelTimings, LayerTimings, Measurement, Timing
from accelsim.report.measuring import print_measurement

POWER = PowerSpecification(pattern="*", tdp_w=50, source="data sheet", note="whole package")


@pytest.fixture
def measurement():
    timings = tuple(
        Timing(cache=cache, loops=3, samples_us=(1e3, 2e3, 3e3), energy_uj=energy_uj)
        for cache, energy_uj in (("flushed", None), ("warm", 5.0))
    )
    kernel = KernelTimings(
        kernel="torch sparse CSR",
        package="torch",
        batch=64,
        threads="one",
        weight_bytes=1,
        overhead_us=0.1,
        timings=timings,
    )
    layer = LayerTimings(
        name="fc[x]", n_in=1, n_out=1, nonzeros=1, inputs="drawn", kernels=(kernel,)
    )
    return Measurement(
        network="net",
        date_utc=datetime(2026, 1, 2, tzinfo=UTC),
        device=this_device(),
        flush_bytes=1000,
        energy_source="RAPL",
        power_specification=None,
        others_cpus=0.0,
        remarks=("no torch kernels: [why]",),
        layers=(layer,),
    )


def shown(measurement, width=80):
    console = Console(width=width, file=io.StringIO())
    print_measurement(measurement, console)
    text = console.file.getvalue()
    assert all(len(line) <= width for line in text.splitlines())
    assert "…" not in text
    return " ".join(text.split())


@pytest.mark.parametrize("width", [100, 80, 60])
def test_numbers_at_any_width(measurement, width):
    text = shown(measurement, width)
    # Half of 2.8 - 1.2 ms in 2 ms.
    for word in ("fc[x]", "torch sparse CSR", "cold", "warm", "64", "2.00 ms", "±40%", "5.00 µJ"):
        assert word in text
    assert "no torch kernels: [why]" in text
    assert "of 3 to 3 samples" in text
    assert "another machine" not in text
    assert "≈" not in text


def test_estimates_are_marked_and_explained(measurement):
    text = shown(measurement.model_copy(update={"power_specification": POWER}))
    assert "≈ 100 mJ" in text  # 2 ms at 50 W
    assert "≈ an estimate, not measured: time × 50 W. data sheet; whole package." in text


def test_another_machine_and_a_disturbed_one(measurement):
    device = measurement.device.model_copy(update={"cpu": "Other CPU"})
    text = shown(measurement.model_copy(update={"device": device, "others_cpus": 1.5}))
    assert "net on another machine: Other CPU" in text
    assert "DISTURBED: other processes kept 1.5 CPUs busy" in text
