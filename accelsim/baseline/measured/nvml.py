"""Energy and driver of an NVIDIA GPU (NVML), where the package nvidia-ml-py and the driver tell."""

import time
from collections.abc import Callable
from threading import Event, Thread
from typing import Any

SAMPLE_S = 0.02  # drivers renew their reading of power some 10 to 50 times a second


class EnergyCounter:
    """Energy of the whole board between `start` and `stop_uj`, from the driver's own counter."""

    source = "NVML total energy of the GPU"

    def __init__(self, read_mj: Callable[[], int]) -> None:
        self._read_mj = read_mj
        self._before_mj = 0

    def start(self) -> None:
        """Read the counter."""
        self._before_mj = self._read_mj()

    def stop_uj(self) -> float:
        """Return the energy used since `start`."""
        return 1e3 * (self._read_mj() - self._before_mj)


class PowerSampler:
    """Energy of the whole board as mean power times time, for GPUs without a counter of energy."""

    source = "NVML power of the GPU, sampled"

    def __init__(self, read_mw: Callable[[], int], interval_s: float = SAMPLE_S) -> None:
        self._read_mw = read_mw
        self._interval_s = interval_s
        self._started = 0.0

    def start(self) -> None:
        """Begin to read the power, in a thread of its own."""
        self._over = Event()
        self._samples_mw = [self._read_mw()]
        self._thread = Thread(target=self._sample, daemon=True)
        self._started = time.perf_counter()
        self._thread.start()

    def stop_uj(self) -> float:
        """Return the energy used since `start`."""
        seconds = time.perf_counter() - self._started
        self._over.set()
        self._thread.join()
        mean_mw = sum(self._samples_mw) / len(self._samples_mw)
        return 1e3 * mean_mw * seconds

    def _sample(self) -> None:
        while not self._over.wait(self._interval_s):
            self._samples_mw.append(self._read_mw())


def nvml_meter(uuid: str) -> EnergyCounter | PowerSampler | None:
    """Return a meter of the GPU with that UUID (`GPU-...`): its counter, else its sampled power.

    None without nvidia-ml-py, without a driver, or where neither can be read.
    """
    nvml = _library()
    if nvml is None:
        return None
    try:
        gpu = nvml.nvmlDeviceGetHandleByUUID(uuid)
    except nvml.NVMLError:
        return None
    return _counter(nvml, gpu) or _sampler(nvml, gpu)


def driver_version() -> str | None:
    """Return the version of the NVIDIA driver; None where NVML does not tell."""
    nvml = _library()
    try:
        return None if nvml is None else str(nvml.nvmlSystemGetDriverVersion())
    except nvml.NVMLError:
        return None


def _counter(nvml: Any, gpu: Any) -> EnergyCounter | None:
    try:
        nvml.nvmlDeviceGetTotalEnergyConsumption(gpu)
    except nvml.NVMLError:  # older than Volta, or a virtual GPU
        return None
    return EnergyCounter(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu))


def _sampler(nvml: Any, gpu: Any) -> PowerSampler | None:
    try:
        nvml.nvmlDeviceGetPowerUsage(gpu)
    except nvml.NVMLError:
        return None
    return PowerSampler(lambda: nvml.nvmlDeviceGetPowerUsage(gpu))


def _library() -> Any:
    """Load NVML; None without the package or a driver."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml
