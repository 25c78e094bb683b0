"""Networks from ONNX files: constants folded, nodes followed as steps of a graph, steps fused."""
