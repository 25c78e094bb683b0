"""The front end against what one would write with NumPy, and Huffman coding against libraries."""

import tracemalloc

import numpy as np

from accelsim.compression.codebook import initial_centroids, make_codebook
from accelsim.compression.compressor import compress
from accelsim.compression.huffman import (
    build_table,
    decode_stream,
    encode_stream,
    symbol_counts,
)
from accelsim.network.layers import Layer, Network
from bench.harness import compare

DENSITY = 0.09


def laplace_layer():
    rng = np.random.default_rng(0)
    return rng.laplace(scale=0.02, size=(4096, 9216)).astype(np.float32)


def numpy_compress(weights):
    """Threshold by partition, columns by transposition, Lloyd on all values: no Huffman, no indices."""
    magnitudes = np.abs(weights).reshape(-1)
    keep = round(DENSITY * magnitudes.size)
    threshold = np.partition(magnitudes, magnitudes.size - keep)[magnitudes.size - keep]
    columns = np.ascontiguousarray(weights.T)
    values = columns[np.abs(columns) >= threshold]
    centroids = initial_centroids(np.sort(values), 15, "linear", 0)
    for _ in range(10):  # ours runs to convergence, some hundreds of steps
        codes = np.searchsorted(0.5 * (centroids[1:] + centroids[:-1]), values)
        centroids = np.bincount(codes, values, 15) / np.maximum(np.bincount(codes, minlength=15), 1)
    return codes


def test_dense_layer_to_artifact():
    weights = laplace_layer()
    network = Network("fc6", (Layer("fc6", weights),))

    def ours():
        return compress(network, density=DENSITY).layers[0].stored

    ratio = compare(
        "9216x4096 dense to stored stream",
        ours,
        lambda: numpy_compress(weights),
        baseline_name="NumPy, ten Lloyd steps, no coding",
        rounds=3,
    )
    assert ratio > 1
    tracemalloc.start()
    ours()
    extra = tracemalloc.get_traced_memory()[1] / weights.nbytes
    tracemalloc.stop()
    print(f"extra memory at its peak: {extra:.2f} of the input")
    assert extra <= 2


def test_kmeans():
    weights = laplace_layer().reshape(-1)[:3_400_000]

    def naive():
        centroids = np.linspace(weights.min(), weights.max(), 15)
        codes = np.searchsorted(0.5 * (centroids[1:] + centroids[:-1]), weights)
        return np.bincount(codes, weights, 15)

    ratio = compare(
        "k-means of 3.4 M weights to convergence",
        lambda: make_codebook(weights, 4),
        naive,
        baseline_name="one Lloyd step over all values in NumPy",
        rounds=5,
    )
    assert ratio > 0.5


def code_stream(n):
    rng = np.random.default_rng(0)
    code = np.minimum(rng.geometric(0.2, n), 15).astype(np.uint8)
    run = np.minimum(rng.geometric(0.1, n) - 1, 15).astype(np.uint8)
    codes = build_table(symbol_counts(code, 16), 11)
    runs = build_table(symbol_counts(run, 16), 11)
    return code, run, codes, runs, encode_stream(code, run, codes, runs)


def test_huffman_decode_against_dahuffman():
    import dahuffman

    n = 100_000
    code, run, codes, runs, stream = code_stream(n)
    symbols = np.stack([code, run + np.uint8(16)], axis=1).reshape(-1).tolist()
    codec = dahuffman.HuffmanCodec.from_data(symbols)
    encoded = codec.encode(symbols)
    ratio = compare(
        "Huffman decode of 200 k symbols",
        lambda: decode_stream(stream, codes, runs),
        lambda: codec.decode(encoded),
        baseline_name="dahuffman",
        rounds=5,
        inner=5,
    )
    assert ratio >= 10


def test_huffman_decode_against_constriction():
    """Its Huffman decoder takes a call per symbol; its range decoder takes whole arrays: beat both."""
    import constriction

    n = 200_000
    code, run, codes, runs, stream = code_stream(n)

    def trees():
        for symbols, alphabet in ((code, 16), (run, 16)):
            weights = np.maximum(symbol_counts(symbols, alphabet), 1) / (n + alphabet)
            book = constriction.symbol.huffman.EncoderHuffmanTree(weights)
            encoder = constriction.symbol.QueueEncoder()
            for symbol in symbols.tolist():
                encoder.encode_symbol(symbol, book)
            words, _ = encoder.get_compressed()
            yield words, constriction.symbol.huffman.DecoderHuffmanTree(weights)

    def ranges():
        for symbols, alphabet in ((code, 16), (run, 16)):
            weights = np.maximum(symbol_counts(symbols, alphabet), 1) / (n + alphabet)
            model = constriction.stream.model.Categorical(weights, perfect=False)
            encoder = constriction.stream.queue.RangeEncoder()
            encoder.encode(symbols.astype(np.int32), model)
            yield encoder.get_compressed(), model

    packed_trees, packed_ranges = list(trees()), list(ranges())

    def decode_trees():
        for words, tree in packed_trees:
            decoder = constriction.symbol.QueueDecoder(words)
            for _ in range(n):
                decoder.decode_symbol(tree)

    def decode_ranges():
        return [
            constriction.stream.queue.RangeDecoder(words).decode(model, n)
            for words, model in packed_ranges
        ]

    assert np.array_equal(decode_ranges()[0], code)
    for baseline, what in (
        (decode_trees, "Huffman, a call per symbol"),
        (decode_ranges, "range coder"),
    ):
        ratio = compare(
            "Huffman decode of 400 k symbols",
            lambda: decode_stream(stream, codes, runs),
            baseline,
            baseline_name=f"constriction, {what}",
            rounds=5,
            inner=5,
        )
        assert ratio >= 1
