"""Round numbers: a byte from DRAM takes 1 ns, a link 1 us and 2 ns per byte."""

from accelsim.hardware.dram import Link
from accelsim.simulation.system.work import LayerWork

US = 1_000_000  # picoseconds
DRAM = """
[round]
energy_pj_per_bit = 3.0
energy_source = "made up"
bandwidth_gbyte_per_s = 1.0
bandwidth_source = "made up"
latency_ns = 0.0
latency_source = "made up"
status = "estimate"
"""
LINK = Link(
    energy_pj_per_bit=2.0, energy_source="made up", bandwidth_gbyte_per_s=0.5,
    bandwidth_source="made up", latency_ns=1000.0, latency_source="made up", status="estimate",
    file="link.toml",
)  # fmt: skip


def layer(
    array_us, fetch_us=0, *, name="", activations_us=0, output_bytes=0, input_pj=0, batch_pj=0
):
    """A layer that computes, fetches weights and moves activations for so many microseconds."""
    return LayerWork(
        name or f"{array_us}/{fetch_us}",
        array_ps=round(array_us * US),
        weight_bytes=round(1000 * fetch_us),
        input_bytes=round(1000 * activations_us),
        output_bytes=output_bytes,
        input_pj=input_pj,
        batch_pj=batch_pj,
    )
