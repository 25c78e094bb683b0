"""Small ONNX models for tests, and the comparison of what they compute with ONNX Runtime."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from unit.network.graph_interpreter import outputs as interpreted

from accelsim.network.graph import Softmax
from accelsim.network.layers import Network
from accelsim.network.onnx.file import load_onnx

# How many samples a model is run on where their number is open.
SAMPLES = 2


@dataclass
class Model:
    """Nodes and initializers in the making.

    inputs: shapes by name; "N" stands for the number of samples
    """

    opset: int
    rng: np.random.Generator
    inputs: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)

    def input(self, *shape: Any) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs[name] = shape
        return name

    def constant(self, values: Any) -> str:
        name = f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def floats(self, *shape: int) -> str:
        return self.constant(self.rng.standard_normal(shape).astype(np.float32))

    def ints(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        return self.nodes_of(op, 1, *inputs, **attributes)[0]

    def nodes_of(self, op: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        names = [f"t{len(self.nodes)}_{index}" for index in range(outputs)]
        name = f"{op.lower()}{len(self.nodes)}" if self.rng.integers(2) else ""
        self.nodes.append(helper.make_node(op, inputs, names, name=name, **attributes))
        return names

    def along(self, op: str, data: str, axes: list[int], since: int = 13, **attributes: Any) -> str:
        """A node whose axes are an input since an opset, and an attribute before."""
        if self.opset < since:
            return self.node(op, data, axes=axes, **attributes)
        return self.node(op, data, self.ints(*axes), **attributes)

    def save(self, path: Path, *outputs: str) -> Path:
        infos = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in self.inputs.items()
        ]
        results = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "g", infos, results, self.initializers)
        imports = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=imports, ir_version=8)
        path.write_bytes(model.SerializeToString())
        return path


def run_onnxruntime(path: Path, given: dict[str, Any]) -> list[Any]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, given)


def is_loose(network: Network) -> bool:
    return network.graph is None or isinstance(network.graph.steps[-1].op, Softmax)


def assert_same_as_onnxruntime(path: Path, shapes: dict[str, tuple[Any, ...]], *batch: int | None):
    """Import a model and compare each output for each sample; return the network.

    shapes: of the model's inputs, "N" where samples are counted
    batch: the axis of each output that counts samples, by default 0; None where none does
    """
    rng = np.random.default_rng(1)
    given = {
        name: rng.standard_normal([SAMPLES if size == "N" else size for size in shape])
        for name, shape in shapes.items()
    }
    results = run_onnxruntime(path, {name: x.astype(np.float32) for name, x in given.items()})
    network = load_onnx(path)
    is_batched = any("N" in shape for shape in shapes.values())
    for sample in range(SAMPLES if is_batched else 1):
        example = {}
        for name, shape in shapes.items():
            if name in network.flow.graph.inputs or len(shapes) == 1:
                x = given[name].astype(np.float32)
                x = np.take(x, sample, axis=shape.index("N")) if "N" in shape else x
                place = name if name in network.flow.graph.inputs else "input"
                example[place] = x.reshape(network.flow.graph.inputs[place])
        actual = interpreted(network, example)
        for index, (expected, found) in enumerate(zip(results, actual, strict=True)):
            axis = batch[index] if index < len(batch) else 0
            wanted = expected
            if is_batched and axis is not None:
                wanted = np.take(expected, sample, axis=axis)
                # A row, and a softmax, which nothing may follow, can have another shape.
                assert found.shape == (wanted.shape or (1,)) or is_loose(network)
            np.testing.assert_allclose(
                found.ravel(), wanted.ravel(), rtol=1e-4, atol=1e-4 * max(1e-3, abs(expected).max())
            )
    return network


def branch(*nodes: NodeProto, output: str, initializers: Any = ()) -> GraphProto:
    """A branch of an If, which gives one tensor."""
    info = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), "branch", [], [info], list(initializers))
