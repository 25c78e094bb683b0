from datetime import UTC, datetime

import pytest

from accelsim.baseline.measured.device import Gpu, this_device
from accelsim.baseline.measured.device_power import PowerSpecification
from accelsim.baseline.measured.record import KernelTimings, LayerTimings, Measurement, Timing

POWER = PowerSpecification(pattern="*", tdp_w=50, source="data sheet", note="whole package")
H200 = Gpu(name="NVIDIA H200", memory_bytes=10**11, cache_bytes=10**7, driver="580", cuda="13.0")


def timing(cache, *samples_us, energy_uj=None):
    return Timing(cache=cache, loops=1, samples_us=samples_us, energy_uj=energy_uj)


def kernel(*timings, name="dense BLAS", batch=1):
    return KernelTimings(
        kernel=name,
        package="NumPy 2",
        batch=batch,
        threads="one thread",
        weight_bytes=100,
        overhead_us=0.5,
        cold_overhead_us=60.0,
        timings=timings,
    )


def record(*kernels, **fields):
    layer = LayerTimings(
        name="fc",
        n_in=6,
        n_out=5,
        nonzeros=9,
        inputs="given",
        activation_density_frac=0.25,
        kernels=kernels or (kernel(timing("flushed", 100.0, 300.0), timing("warm", 7.0)),),
    )
    values = {
        "network": "net",
        "date_utc": datetime(2026, 5, 4, tzinfo=UTC),
        "device": this_device(),
        "flush_bytes": 10**8,
        "energy_source": None,
        "power_specification": None,
        "others_cpus": 0.0,
        "layers": (layer,),
    }
    return Measurement(**values | fields)


def test_a_row_per_kernel_and_cache_state():
    cold, warm = record().rows()
    cpu = this_device().cpu
    assert (cold.system, warm.system) == (
        f"CPU here, dense BLAS ({cpu})",
        f"CPU here, dense BLAS, warm ({cpu})",
    )
    assert (cold.kind, cold.layer, cold.latency_us, cold.energy_uj) == ("measured", "fc", 200, None)
    assert cold.source == "measured by accelsim, 2026-05-04; NumPy 2"
    assert "caches flushed before every sample; median of 2, least 100" in cold.note
    assert "p10 to p90 120 to 280 µs" in cold.note
    assert cold.latency_range_us == pytest.approx((120, 280))
    assert cold.energy_kind is None
    assert "60 µs of it are call and timer" in cold.note
    assert "call and timer" not in warm.note  # 0.5 of 7 µs
    assert "energy not measured: no readable counter; no specification is known" in cold.note


def test_batches_are_systems_of_their_own():
    rows = record(kernel(timing("warm", 1.0), batch=64), kernel(timing("warm", 1.0))).rows()
    assert [row.system.split(" (")[0] for row in rows] == [
        "CPU here, dense BLAS, warm, batch 64",
        "CPU here, dense BLAS, warm",
    ]


def test_measured_energy_is_not_estimated():
    both = (timing("flushed", 10.0), timing("warm", 7.0, energy_uj=123.0), timing("warm", 7.0))
    rows = record(kernel(*both), energy_source="RAPL", power_specification=POWER).rows()
    assert rows[1].energy_uj == 123
    assert "energy measured: RAPL, idle power included" in rows[1].note
    assert "ESTIMATE (flushing would count too)" in rows[0].note
    assert "ESTIMATE (the counter stood still)" in rows[2].note


def test_energy_is_estimated_from_the_data_sheet():
    cold, warm = record(power_specification=POWER).rows()
    assert (cold.energy_uj, warm.energy_uj) == (200 * 50, 7 * 50)  # µs times W
    assert (cold.kind, cold.energy_kind) == ("measured", "estimate")
    assert (
        "energy is an ESTIMATE (no readable counter): time × 50 W, data sheet; "
        "whole package" in cold.note
    )
    assert record(power_specification=POWER).energy(timing("warm", 1.0)).kind == "estimate"


@pytest.mark.parametrize("gpu", [None, H200])
def test_another_machine_is_labelled_so(gpu):
    device = this_device().model_copy(update={"cpu": "Other CPU", "gpu": gpu})
    other = record(device=device)
    assert not other.is_here
    name = "NVIDIA H200" if gpu else "Other CPU"
    assert other.rows()[1].system == f"another machine: {name}, dense BLAS, warm"


def test_a_gpu_of_this_computer(monkeypatch):
    monkeypatch.setattr("accelsim.baseline.measured.device.gpu_names", lambda: ("NVIDIA H200",))
    here = record(device=this_device().model_copy(update={"gpu": H200}))
    assert here.rows()[0].system == "GPU here, dense BLAS (NVIDIA H200)"


def test_what_a_reader_has_to_know():
    calm = record(others_cpus=0.1)
    assert "DISTURBED" not in calm.rows()[0].note
    busy = record(others_cpus=0.9)
    assert "DISTURBED: other processes kept 0.9 CPUs busy" in busy.rows()[0].note
    assert not record(others_cpus=None).is_disturbed
    device = this_device().model_copy(update={"cache_assumed": True})
    assert "bytes assumed" in record(device=device).rows()[0].note
    codebook = record(kernel(timing("warm", 1.0), name="codebook"))
    assert "25% of the inputs not zero" in codebook.rows()[0].note
    assert "not zero" not in calm.rows()[0].note
