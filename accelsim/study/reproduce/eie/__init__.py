"""EIE (Han et al., ISCA 2016), chapter by chapter."""
