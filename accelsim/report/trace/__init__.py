"""Traces as people look at them: files for Perfetto and waveform viewers, pictures, the stall report.

files     everything into one folder, after a look at how large it will be
chrome    Chrome's trace event format
waves     VCD
tables    the stall report on the terminal
"""

from accelsim.report.trace.files import DEFAULT_LIMIT_MB, DEFAULT_QUEUES, write_trace
from accelsim.report.trace.tables import print_trace, trace_dict

__all__ = ["DEFAULT_LIMIT_MB", "DEFAULT_QUEUES", "print_trace", "trace_dict", "write_trace"]
