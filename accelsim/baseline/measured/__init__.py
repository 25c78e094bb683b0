"""Measured CPUs and GPUs: what runs, how it is timed, and the record of it."""
