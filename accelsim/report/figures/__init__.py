"""The pictures of a report. Each function writes one file and returns its path.

The ending of the path chooses PNG (150 dpi) or SVG; any other is an InputError. The file is
written atomically, and is the same for the same data.
"""

from accelsim.report.figures.balance import draw_pe_balance, load_balance
from accelsim.report.figures.comparison import draw_comparison
from accelsim.report.figures.decoders import draw_decoders
from accelsim.report.figures.knee import knee
from accelsim.report.figures.sweep import draw_sweep
from accelsim.report.figures.systems import draw_energy_breakdown

__all__ = [
    "draw_comparison",
    "draw_decoders",
    "draw_energy_breakdown",
    "draw_pe_balance",
    "draw_sweep",
    "knee",
    "load_balance",
]
