"""The pictures of a report. Each function writes one file and returns its path.

The ending of the path chooses PNG (150 dpi), SVG or PDF; other endings are an InputError. The file is
written atomically, and is the same for the same data.
"""

from accelsim.report.balance import draw_pe_balance
from accelsim.report.comparison import draw_comparison, draw_energy_breakdown
from accelsim.report.sweep import draw_sweep, knee

__all__ = [
    "draw_comparison",
    "draw_energy_breakdown",
    "draw_pe_balance",
    "draw_sweep",
    "knee",
]
