"""accelsim: compress a network, run it on an on-chip-SRAM accelerator, compare the energy with DRAM."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from accelsim._version import __version__

if TYPE_CHECKING:
    from accelsim.compression.artifact import save
    from accelsim.compression.compressor import compress
    from accelsim.compression.describe import inspect
    from accelsim.compression.loading import load
    from accelsim.errors import AccelsimError
    from accelsim.hardware.accelerator import Accelerator
    from accelsim.network.torch_module import from_torch
    from accelsim.report.demo import demo
    from accelsim.report.reproduction import reproduce
    from accelsim.simulation.network import simulate
    from accelsim.study.analysis import analyse
    from accelsim.study.compare import compare
    from accelsim.study.evaluate import evaluate
    from accelsim.study.measure import measure
    from accelsim.study.roofline import roofline
    from accelsim.study.serve import serve
    from accelsim.study.sweep import sweep
    from accelsim.study.trace import trace

__all__ = [
    "Accelerator",
    "AccelsimError",
    "__version__",
    "analyse",
    "compare",
    "compress",
    "demo",
    "evaluate",
    "from_torch",
    "inspect",
    "load",
    "measure",
    "reproduce",
    "roofline",
    "save",
    "serve",
    "simulate",
    "sweep",
    "trace",
]

# Where each public name lives: loaded at first use, so that `import accelsim` costs next to nothing.
_HOMES = {
    "AccelsimError": ("accelsim.errors", "AccelsimError"),
    "Accelerator": ("accelsim.hardware.accelerator", "Accelerator"),
    "analyse": ("accelsim.study.analysis", "analyse"),
    "compare": ("accelsim.study.compare", "compare"),
    "compress": ("accelsim.compression.compressor", "compress"),
    "demo": ("accelsim.report.demo", "demo"),
    "evaluate": ("accelsim.study.evaluate", "evaluate"),
    "from_torch": ("accelsim.network.torch_module", "from_torch"),
    "inspect": ("accelsim.compression.describe", "inspect"),
    "load": ("accelsim.compression.loading", "load"),
    "measure": ("accelsim.study.measure", "measure"),
    "reproduce": ("accelsim.report.reproduction", "reproduce"),
    "roofline": ("accelsim.study.roofline", "roofline"),
    "save": ("accelsim.compression.artifact", "save"),
    "serve": ("accelsim.study.serve", "serve"),
    "simulate": ("accelsim.simulation.network", "simulate"),
    "sweep": ("accelsim.study.sweep", "sweep"),
    "trace": ("accelsim.study.trace", "trace"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'accelsim' has no attribute '{name}'")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
