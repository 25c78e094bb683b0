"""Studies: comparisons, sweeps and measurements, over machines and networks."""
