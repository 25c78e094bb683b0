"""Deep Compression (Han et al., ICLR 2016), chapter by chapter."""
