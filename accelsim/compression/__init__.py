"""The front end: prune, share weights through a codebook, index, Huffman-code, store."""
