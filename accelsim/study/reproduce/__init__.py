"""`accelsim.reproduce`: a paper's tables and figures, published and ours side by side."""
