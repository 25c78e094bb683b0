import sys
from itertools import count
from types import SimpleNamespace

import pytest

from accelsim.baseline.measured import nvml
from accelsim.baseline.measured.nvml import PowerSampler, driver_version, nvml_meter


class NVMLError(Exception):
    pass


def refuse(*_):
    raise NVMLError


@pytest.fixture
def library(monkeypatch):
    """NVML with one GPU, `GPU-1`, which draws 200 W; its counter goes on by 7 mJ from call to call."""
    readings_mj = count(1000, 7)
    fake = SimpleNamespace(
        NVMLError=NVMLError,
        nvmlInit=lambda: None,
        nvmlSystemGetDriverVersion=lambda: "580.65.06",
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid if uuid == "GPU-1" else refuse(),
        nvmlDeviceGetTotalEnergyConsumption=lambda _: next(readings_mj),
        nvmlDeviceGetPowerUsage=lambda _: 200_000,
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


@pytest.mark.usefixtures("library")
def test_energy_from_the_counter():
    meter = nvml_meter("GPU-1")
    assert meter.source == "NVML total energy of the GPU"
    meter.start()
    assert meter.stop_uj() == 7000  # 7 mJ
    assert driver_version() == "580.65.06"


def test_energy_from_sampled_power_where_there_is_no_counter(library, monkeypatch):
    library.nvmlDeviceGetTotalEnergyConsumption = refuse
    meter = nvml_meter("GPU-1")
    assert meter.source == "NVML power of the GPU, sampled"
    times = iter([10.0, 10.5])
    monkeypatch.setattr(nvml.time, "perf_counter", lambda: next(times))
    meter.start()
    assert meter.stop_uj() == pytest.approx(100e6)  # 200 W for half a second


def test_power_is_sampled_until_the_end():
    readings = count(1000, 1000)
    meter = PowerSampler(lambda: next(readings), interval_s=1e-4)
    meter.start()
    while len(meter._samples_mw) < 3:
        pass
    assert meter.stop_uj() > 0
    assert not meter._thread.is_alive()


def test_no_meter_of_an_unknown_gpu_or_of_one_that_tells_nothing(library):
    assert nvml_meter("GPU-2") is None
    library.nvmlDeviceGetTotalEnergyConsumption = library.nvmlDeviceGetPowerUsage = refuse
    assert nvml_meter("GPU-1") is None


def test_no_meter_without_a_driver(library):
    library.nvmlInit = refuse
    assert nvml_meter("GPU-1") is None
    assert driver_version() is None


def test_a_driver_that_keeps_its_version(library):
    library.nvmlSystemGetDriverVersion = refuse
    assert driver_version() is None


def test_no_meter_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert nvml_meter("GPU-1") is None
    assert driver_version() is None
