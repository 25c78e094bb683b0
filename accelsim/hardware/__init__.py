"""What computes: machines, decoders, technologies, energy and area."""
