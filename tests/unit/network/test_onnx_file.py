from itertools import pairwise

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from unit.network.onnx_models import assert_same_as_onnxruntime as assert_graph_same_as_onnxruntime

from accelsim.errors import FileFormatError, InputError, NetworkError
from accelsim.network.onnx.file import load_onnx

FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16)


def dense(n_out, n_in, seed=0):
    return np.random.default_rng(seed).standard_normal((n_out, n_in)).astype(np.float32)


def tensor(name, values):
    return numpy_helper.from_array(np.asarray(values), name)


def ints(name, *values):
    return tensor(name, np.array(values, np.int64))


def node(op, inputs, output, name="", **attributes):
    return helper.make_node(op, inputs, [output], name=name, **attributes)


@pytest.fixture
def save(tmp_path):
    """Write a model of `nodes` from input x of `shape` to output y."""

    def save_model(nodes, initializers=(), *, shape=("N", 3), opset=17, inputs=1, outputs=("y",)):
        infos = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name in ["x", "x2"][:inputs]
        ]
        results = [helper.make_tensor_value_info(y, TensorProto.FLOAT, None) for y in outputs]
        graph = helper.make_graph(nodes, "g", infos, results, list(initializers))
        imports = [helper.make_opsetid("", opset)] if opset else []
        model = helper.make_model(graph, opset_imports=imports or None, ir_version=8)
        if not imports:
            del model.opset_import[:]
        path = tmp_path / "net.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return save_model


def forward(network, x):
    for layer in network.layers:
        x = x @ layer.weights.T
        x = x if layer.bias is None else x + layer.bias
        if layer.activation == "relu":
            x = np.maximum(x, 0)
        if layer.activation == "softmax":
            x = np.exp(x - x.max(axis=-1, keepdims=True))
            x = x / x.sum(axis=-1, keepdims=True)
    return x


def assert_same_as_onnxruntime(path, shape):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    x = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    (expected,) = session.run(None, {"x": x})
    actual = forward(load_onnx(path), x.reshape(shape[0], -1))
    np.testing.assert_allclose(actual, expected.reshape(actual.shape), rtol=2e-5, atol=2e-5)


def random_network(rng, opset, sizes):
    """Nodes and initializers of a random chain of Gemm, MatMul + Add, and pass-through nodes."""
    nodes, initializers, data = [node("Flatten", ["x"], "d0")], [], "d0"
    for i, (n_in, n_out) in enumerate(pairwise(sizes)):
        weights = rng.standard_normal((n_in, n_out)).astype(np.float32)
        bias = rng.standard_normal(rng.choice([1, n_out])).astype(np.float32)
        initializers.append(tensor(f"b{i}", bias if rng.integers(2) else bias[None]))
        if rng.integers(2):
            transposed = int(rng.integers(2))
            initializers.append(tensor(f"w{i}", weights.T if transposed else weights))
            bias_input = [f"b{i}"] if rng.integers(2) or opset < 11 else []
            scales = {"alpha": float(rng.choice([1.0, 0.5])), "beta": float(rng.choice([1.0, 2.0]))}
            inputs = [data, f"w{i}", *bias_input]
            nodes.append(node("Gemm", inputs, f"m{i}", transB=transposed, **scales))
        else:
            initializers.append(tensor(f"w{i}", weights))
            order = [f"m{i}_", f"b{i}"][:: int(rng.choice([1, -1]))]
            nodes += [node("MatMul", [data, f"w{i}"], f"m{i}_"), node("Add", order, f"m{i}")]
        data = f"m{i}"
        for op in rng.choice(["Relu", "Identity", "Dropout", "Reshape"], rng.integers(3)):
            if op == "Reshape":
                initializers.append(ints(f"s{len(nodes)}", 0, -1))
            inputs = [data, f"s{len(nodes)}"] if op == "Reshape" else [data]
            nodes.append(node(op, inputs, f"o{len(nodes)}"))
            data = nodes[-1].output[0]
    if nodes[-1].op_type in ("Gemm", "Add"):
        nodes.append(node("Softmax", [data], "y", axis=1))
    else:
        nodes.append(node("Identity", [data], "y"))
    return nodes, initializers


@pytest.mark.parametrize("opset", range(7, 24))
@pytest.mark.parametrize("seed", range(4))
def test_random_networks_compute_what_onnxruntime_computes(save, opset, seed):
    rng = np.random.default_rng([opset, seed])
    sizes = [12, *rng.integers(1, 9, rng.integers(1, 5))]
    nodes, initializers = random_network(rng, opset, sizes)
    path = save(nodes, initializers, shape=("N", 1, 3, 4), opset=opset)
    assert_same_as_onnxruntime(path, (5, 1, 3, 4))


def test_names_come_from_nodes_or_else_from_weights_and_are_unique(save):
    nodes = [
        node("MatMul", ["x", "w"], "a", name="fc"),
        node("MatMul", ["a", "w"], "b", name="fc"),
        node("MatMul", ["b", "w"], "c"),
        node("MatMul", ["c", "w"], "y"),
    ]
    network = load_onnx(save(nodes, [tensor("w", dense(3, 3))]))
    assert [layer.name for layer in network.layers] == ["fc", "fc_2", "w", "w_2"]
    assert network.name == "net"


@pytest.mark.parametrize("data_type", FLOATS)
@pytest.mark.parametrize("raw", [False, True])
def test_weights_of_every_float_type(save, data_type, raw):
    values = np.array([[1.0, -2.0], [0.5, 4.0], [0.0, 8.0]], np.float32)
    weights = helper.make_tensor("w", data_type, (3, 2), values.ravel())
    if raw and data_type == TensorProto.BFLOAT16:
        bits = (values.view(np.uint32) >> 16).astype("<u2")
        weights = helper.make_tensor("w", data_type, (3, 2), bits.tobytes(), raw=True)
    elif raw:
        weights = tensor("w", values.astype(helper.tensor_dtype_to_np_dtype(data_type)))
    layer = load_onnx(save([node("MatMul", ["x", "w"], "y")], [weights])).layers[0]
    assert layer.weights.dtype == np.float32
    np.testing.assert_array_equal(layer.weights, values.T)


def test_constant_nodes_and_renamed_initializers_are_weights(save):
    nodes = [
        node("Constant", [], "c", value=tensor("", dense(3, 2))),
        node("Identity", ["c"], "w"),
        node("MatMul", ["x", "w"], "a"),
        node("Constant", [], "b", value_floats=[1.0, 2.0]),
        node("Add", ["b", "a"], "h"),
        node("Constant", [], "s", value_ints=[-1, 2]),
        node("Reshape", ["h", "s"], "r"),
        node("MatMul", ["r", "v"], "i"),
        node("Constant", [], "k", value_float=3.0),
        node("Add", ["i", "k"], "y"),
    ]
    path = save(nodes, [tensor("v", dense(2, 4))])
    np.testing.assert_array_equal(load_onnx(path).layers[1].bias, [3, 3, 3, 3])
    assert_same_as_onnxruntime(path, (2, 3))


def test_an_input_of_one_dimension(save):
    path = save([node("MatMul", ["x", "w"], "y")], [tensor("w", dense(3, 2))], shape=(3,))
    assert load_onnx(path).layers[0].n_in == 3


def test_initializers_may_be_listed_as_inputs(save):
    path = save([node("MatMul", ["x", "w"], "y")], [tensor("w", dense(3, 2))])
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, (3, 2)))
    onnx.save(model, path)
    assert load_onnx(path).layers[0].n_out == 2


W = tensor("w", dense(3, 3))
B = tensor("b", np.ones(3, np.float32))
MATMUL = node("MatMul", ["x", "w"], "a")
RESHAPE = node("Reshape", ["x", "g"], "r")
LAST = node("MatMul", ["r", "w"], "y")
REFUSED = {
    "foreign operator": (
        [node("Conv", ["x", "w"], "y", name="c1")],
        "'Conv', node 'c1', output 'y'",
    ),
    "foreign domain": ([node("Gemm", ["x", "w"], "y", domain="com.acme")], "'com.acme.Gemm'"),
    "relu first": ([node("Relu", ["x"], "y")], "has no layers"),
    "add first": ([node("Add", ["x", "b"], "y")], "has no layers"),
    "softmax first": ([node("Softmax", ["x"], "y")], "has no layers"),
    "no layer": ([node("Identity", ["x"], "y")], "has no layers"),
    "cycle": ([node("MatMul", ["x", "w"], "x")], "'y': no node gives it"),
    "no way": ([MATMUL], "'y': no node gives it"),
    "unknown bias": ([MATMUL, node("Add", ["a", "q"], "y")], "'q' is no constant"),
    "weights left": ([node("MatMul", ["w", "x"], "y")], "weights on the right"),
    "gemm weights left": ([node("Gemm", ["w", "x"], "y")], "data as A"),
    "transA": ([node("Gemm", ["x", "w"], "y", transA=1)], "transA=0"),
    "one input": ([node("MatMul", ["x"], "y")], "'' is no constant"),
    "vector weights": ([node("MatMul", ["x", "b"], "y")], "give a matrix"),
    "softmax across": ([MATMUL, node("Softmax", ["a"], "y", axis=0)], "across samples"),
    "relu of softmax": (
        [MATMUL, node("Softmax", ["a"], "c"), node("Relu", ["c"], "y")],
        "softmax stands before",
    ),
    "softmax between": (
        [MATMUL, node("Softmax", ["a"], "c"), node("MatMul", ["c", "w"], "y")],
        "softmax stands before",
    ),
    "flatten all": ([MATMUL, node("Flatten", ["a"], "y", axis=0)], "mixes samples"),
    "reshape splits": ([MATMUL, node("Reshape", ["a", "s1"], "y")], "mixes samples of 3"),
    "reshape to 3-d": ([MATMUL, node("Reshape", ["a", "s3"], "y")], "mixes samples of 3"),
    "reshape merges": ([MATMUL, node("Reshape", ["a", "flat"], "y")], "mixes samples of 3"),
    "reshape by floats": ([MATMUL, node("Reshape", ["a", "b"], "y")], "int64"),
    "reshape of a shape": ([node("Reshape", ["flat", "x"], "y")], "first input"),
    "training": ([MATMUL, node("Dropout", ["a", "", "yes"], "y")], "training mode"),
    "integer weights": ([node("MatMul", ["x", "s1"], "y")], "ONNX type 7"),
    "wrong bias": ([MATMUL, node("Add", ["a", "b4"], "y")], r"bias has shape \(4,\)"),
    "column bias": ([MATMUL, node("Add", ["a", "column"], "y")], r"bias has shape \(3, 1\)"),
    "nan": ([node("MatMul", ["x", "nan"], "y")], "NaN"),
    "overflow": ([node("Gemm", ["x", "w"], "y", alpha=3e38)], "beyond float32"),
    "misfit": ([node("MatMul", ["x", "w4"], "y")], "takes 4 values, but gets 3"),
    "log softmax": ([MATMUL, node("LogSoftmax", ["a"], "y")], "'LogSoftmax'.*with Softmax"),
    "transposed data": ([node("Transpose", ["x"], "t"), node("MatMul", ["t", "w"], "y")], "data"),
    "turned by one axis": (
        [node("Transpose", ["cube"], "t", perm=[1, 0, 2]), node("MatMul", ["x", "t"], "y")],
        "'cube'.*give a matrix",
    ),
    "rounding cast": ([MATMUL, node("Cast", ["a"], "y", to=TensorProto.FLOAT16)], "cast to float"),
    "flatten beyond": ([MATMUL, node("Flatten", ["a"], "y", axis=5)], "has no axis 5"),
    "squeeze values": ([MATMUL, node("Squeeze", ["a", "one"], "y")], "not of size 1"),
    "squeeze unknown": ([MATMUL, node("Squeeze", ["a"], "y")], "unknown size"),
    "squeeze of axes": ([node("Squeeze", ["one", "x"], "y")], "first input"),
    "matmul of a scalar": (
        [node("Reshape", ["x", "none"], "a"), node("MatMul", ["a", "w"], "y")],
        "mixes samples|two dimensions",
    ),
    "unsqueeze far": ([MATMUL, node("Unsqueeze", ["a", "far"], "y")], "cannot add axes"),
    "matrix of 3-d": (
        [node("Unsqueeze", ["x", "one"], "a"), node("Gemm", ["a", "w"], "y")],
        "takes a matrix",
    ),
    "add of reshaped": (
        [MATMUL, node("Unsqueeze", ["a", "two"], "c"), node("Add", ["c", "b"], "y")],
        r"bias has shape \(3,\)",
    ),
    "shape of a later tensor": (
        [
            node("Reshape", ["x", "s"], "a"),
            node("MatMul", ["a", "w"], "y"),
            node("Shape", ["y"], "s"),
        ],
        "'s' is no constant",
    ),
    "reshape by data": ([MATMUL, node("Reshape", ["a", "a"], "y")], "'a' is no constant"),
    "gather beyond": (
        [node("Shape", ["x"], "s"), node("Gather", ["s", "far"], "g"), RESHAPE, LAST],
        "gathers",
    ),
    "gather by batch": (
        [node("Shape", ["x"], "s"), node("Gather", ["s", "s"], "g"), RESHAPE, LAST],
        "gathers",
    ),
    "gather nothing": (
        [node("Shape", ["x"], "s"), node("Gather", ["s"], "g"), RESHAPE, LAST],
        "'' is no constant",
    ),
    "swapped sizes": (
        [node("Shape", ["x"], "s"), node("Gather", ["s", "swap"], "g"), RESHAPE, LAST],
        "mixes samples",
    ),
    "long shape": ([node("Concat", ["x70", "x70"], "g", axis=0), RESHAPE, LAST], "more than 64"),
    "text constant": ([node("Constant", [], "y", value_string="a")], "no plain tensor"),
}
EXTRA = [
    ints("s1", -1, 1),
    ints("s3", 1, 1, 3),
    ints("flat", -1),
    ints("one", 1),
    ints("two", 2),
    ints("far", 9),
    tensor("none", np.zeros(0, np.int64)),
    ints("swap", 1, 0),
    ints("x70", *range(70)),
    tensor("cube", np.ones((3, 3, 3), np.float32)),
    tensor("yes", np.array(True)),
    tensor("b4", np.ones(4, np.float32)),
    tensor("column", np.ones((3, 1), np.float32)),
    tensor("nan", np.full((3, 3), np.nan, np.float32)),
    tensor("w4", dense(4, 3)),
]


@pytest.mark.parametrize(("nodes", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_other_networks_are_refused_with_their_place(save, nodes, message):
    path = save(nodes, [W, B, *EXTRA])
    with pytest.raises(NetworkError, match=message) as caught:
        load_onnx(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


ACCEPTED = {
    "second bias": [MATMUL, node("Add", ["a", "b"], "c"), node("Add", ["c", "b"], "y")],
    "add after relu": [MATMUL, node("Relu", ["a"], "c"), node("Add", ["c", "b"], "y")],
    "residual": [MATMUL, node("Add", ["a", "x"], "y")],
    "double": [MATMUL, node("Add", ["a", "a"], "y")],
    "dead branch": [MATMUL, node("Relu", ["a"], "y"), node("NonZero", ["y"], "z")],
    "softmax of relu": [MATMUL, node("Relu", ["a"], "c"), node("Softmax", ["c"], "y")],
    "softmax of one": [
        MATMUL,
        node("Unsqueeze", ["a", "one"], "c"),
        node("Softmax", ["c"], "y", axis=1),
    ],
}


@pytest.mark.parametrize("nodes", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_is_no_plain_chain_is_a_graph(save, nodes):
    path = save(nodes, [W, B, *EXTRA])
    assert_graph_same_as_onnxruntime(path, {"x": ("N", 3)})


def test_an_input_that_nothing_takes_is_none(save):
    network = load_onnx(save([node("MatMul", ["x", "w"], "y")], [W], inputs=2))
    assert network.graph is None


def test_missing_outputs_and_old_opsets(save):
    with pytest.raises(NetworkError, match="'z': no node gives it"):
        load_onnx(save([node("MatMul", ["x", "w"], "y")], [W], outputs=("y", "z")))
    with pytest.raises(NetworkError, match="does not depend on the input"):
        load_onnx(save([node("MatMul", ["x", "w"], "y")], [W], outputs=("y", "w")))
    with pytest.raises(NetworkError, match="opset 6"):
        load_onnx(save([node("MatMul", ["x", "w"], "y")], [W], opset=6))
    with pytest.raises(FileFormatError, match="opset_import"):
        load_onnx(save([node("MatMul", ["x", "w"], "y")], [W], opset=None))


def view_by_size(opset, how):
    """Nodes of x.view(x.size(0), -1) in the ways in which PyTorch has exported it."""
    axes = {"axes": [0]} if opset < 13 else {}
    unsqueezed = [] if opset < 13 else ["zero1"]
    head = node("Gather", ["s", "zero"], "g", axis=0)
    size = [head, node("Unsqueeze", ["g", *unsqueezed], "u", **axes)]
    if how == "slice":
        size = [node("Slice", ["s", "zero1", "one1", "zero1"], "u")]
    if how == "cast":
        size = [
            node("Cast", ["s"], "c", to=TensorProto.INT32),
            node("Slice", ["c", "zero1", "one1"], "k"),
            node("Cast", ["k"], "u", to=TensorProto.INT64),
        ]
    rest = [
        node("Constant", [], "rest", value=tensor("", np.array(-1, np.int64))),
        node("Unsqueeze", ["rest", *unsqueezed], "v", **axes),
        node("Concat", ["u", "v"], "shape", axis=0),
        node("Reshape", ["x", "shape"], "flat"),
    ]
    return [node("Shape", ["x"], "s"), *size, *rest]


PLACES = [tensor("zero", np.array(0, np.int64)), ints("zero1", 0), ints("one1", 1)]


@pytest.mark.parametrize("how", ["gather", "slice", "cast"])
@pytest.mark.parametrize("opset", range(11, 22))
@pytest.mark.parametrize("batch", ["N", 4])
def test_a_view_by_the_number_of_samples(save, opset, how, batch):
    nodes = [*view_by_size(opset, how), node("Gemm", ["flat", "w", "b"], "y", transB=1)]
    initializers = [*PLACES, tensor("w", dense(3, 8)), B]
    path = save(nodes, initializers, shape=(batch, 2, 2, 2), opset=opset)
    assert_same_as_onnxruntime(path, (4, 2, 2, 2))


def test_a_shape_of_an_earlier_tensor_between_layers(save):
    nodes = [
        node("MatMul", ["x", "w"], "a"),
        node("Relu", ["a"], "h"),
        node("Shape", ["x"], "s", end=1),
        node("Concat", ["s", "rest"], "shape", axis=0),
        node("Reshape", ["h", "shape"], "r", allowzero=1),
        node("MatMul", ["r", "w"], "y"),
    ]
    assert_same_as_onnxruntime(save(nodes, [W, ints("rest", -1)]), (4, 3))


@pytest.mark.parametrize(
    ("target", "shape"),
    [
        ((-1, 8), ("N", 2, 4)),
        ((-1, 8), ("N", "C", 4)),
        ((0, 8), ("N", 2, 4)),
        ((0, -1), ("N", 2, 4)),
        ((1, -1), (1, 2, 4)),
        ((1, -1), ("N", 2, 4)),
        ((1, 1, 8), (1, 2, 4)),
        ((0, 1, -1), ("N", 2, 4)),
        ((-1, 1, 8), ("N", 2, 4)),
        ((1, 0, -1), (1, 1, 8)),
        ((8,), (1, 2, 4)),
        ((-1,), (1, 2, 4)),
    ],
)
def test_reshapes_that_keep_one_sample_per_row(save, target, shape):
    nodes = [node("Reshape", ["x", "s"], "r"), node("MatMul", ["r", "w"], "y")]
    path = save(nodes, [ints("s", *target), tensor("w", dense(8, 3))], shape=shape)
    assert load_onnx(path).layers[0].n_in == 8
    x = np.ones([size if isinstance(size, int) else {"N": 1, "C": 2}[size] for size in shape])
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, {"x": x.astype(np.float32)})
    expected = load_onnx(path).layers[0].weights.sum(axis=1)
    np.testing.assert_allclose(result.ravel(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("target", "shape"),
    [
        ((-1, 4), ("N", 2, 4)),
        ((2, -1), ("N", 2, 4)),
        ((-1, 2, 8), ("N", 2, 4)),
        ((0, 0, 8), ("N", 2, 4)),
        ((0, 3, -1), ("N", 2, 4)),
        ((-1, -1), ("N", 2, 4)),
        ((0, -2), ("N", 2, 4)),
        ((0, 0, 0, 0), ("N", 2, 4)),
        ((5, 8), (1, 2, 4)),
    ],
)
def test_reshapes_that_mix_samples(save, target, shape):
    nodes = [node("Reshape", ["x", "s"], "r"), node("MatMul", ["r", "w"], "y")]
    with pytest.raises(NetworkError, match="'Reshape'"):
        load_onnx(save(nodes, [ints("s", *target), tensor("w", dense(8, 3))], shape=shape))


def test_zeros_that_are_no_copies_are_refused(save):
    nodes = [node("Reshape", ["x", "s"], "r", allowzero=1), node("MatMul", ["r", "w"], "y")]
    with pytest.raises(NetworkError, match="not supported"):
        load_onnx(save(nodes, [ints("s", 0, -1), W]))


@pytest.mark.parametrize("perm", [{}, {"perm": [1, 0]}])
def test_turned_and_cast_weights(save, perm):
    half = dense(2, 3).astype(np.float16)
    nodes = [
        node("Cast", ["h"], "f", to=TensorProto.FLOAT),
        node("Transpose", ["f"], "t", **perm),
        node("Transpose", ["b"], "b1"),
        node("MatMul", ["x", "t"], "a"),
        node("Add", ["a", "b1"], "c"),
        node("Cast", ["c"], "y", to=TensorProto.FLOAT),
    ]
    path = save(nodes, [tensor("h", half), tensor("b", np.ones(2, np.float32))])
    layer = load_onnx(path).layers[0]
    assert layer.name == "h"
    np.testing.assert_array_equal(layer.weights, half.astype(np.float32))
    assert_same_as_onnxruntime(path, (4, 3))


@pytest.mark.parametrize(
    ("axis", "shape"), [(1, ("N", 2, 4)), (-2, ("N", 2, 4)), (-1, ("N", 8)), (2, ("N", 1, 8))]
)
def test_flatten_from_either_end(save, axis, shape):
    nodes = [node("Flatten", ["x"], "f", axis=axis), node("MatMul", ["f", "w"], "y")]
    path = save(nodes, [tensor("w", dense(8, 3))], shape=shape)
    assert_same_as_onnxruntime(path, (4, *shape[1:]))
    mixing = save([node("Flatten", ["x"], "f", axis=-1), nodes[1]], [W], shape=("N", 3, 3))
    with pytest.raises(NetworkError, match="mixes samples"):
        load_onnx(mixing)


@pytest.mark.parametrize("opset", [11, 13, 21])
def test_axes_that_come_and_go(save, opset):
    def along(op, data, output, *axes):
        if opset < 13:
            return [node(op, [data], output, axes=axes)]
        constant = node("Constant", [], f"{output}_axes", value=ints("", *axes))
        return [constant, node(op, [data, f"{output}_axes"], output)]

    nodes = [
        *along("Unsqueeze", "x", "a", 0, -1),
        *along("Squeeze", "a", "c", -1),
        node("MatMul", ["c", "w"], "d"),
        node("Add", ["d", "b"], "e"),
        *along("Squeeze", "e", "f", 0),
        node("Softmax", ["f"], "y", axis=1),
    ]
    assert_same_as_onnxruntime(save(nodes, [W, B], opset=opset), (4, 3))


@pytest.mark.parametrize(("opset", "axis"), [(11, 1), (11, 2), (13, 2), (13, -1)])
def test_linear_layers_on_three_dimensions(save, opset, axis):
    nodes = [
        node("MatMul", ["x", "w"], "a"),
        node("Add", ["b", "a"], "c"),
        node("Relu", ["c"], "d"),
        node("MatMul", ["d", "w"], "e"),
        node("Softmax", ["e"], "s", axis=axis),
        node("Squeeze", ["s"], "y"),
    ]
    path = save(nodes, [W, B], shape=(1, 1, 3), opset=opset)
    assert_same_as_onnxruntime(path, (1, 1, 3))


def test_a_scalar_is_no_row(save):
    nodes = [
        node("MatMul", ["x", "w"], "a"),
        node("Squeeze", ["a"], "c"),
        node("MatMul", ["c", "w"], "y"),
    ]
    with pytest.raises(NetworkError, match="takes rows of 1 values"):
        load_onnx(save(nodes, [tensor("w", dense(1, 1))], shape=(1, 1)))


def test_a_long_chain_of_shape_nodes(save):
    chain = [node("Identity", [f"s{i}"], f"s{i + 1}") for i in range(3000)]
    nodes = [node("Shape", ["x"], "s0"), *chain, node("Reshape", ["x", "s3000"], "r"), LAST]
    assert load_onnx(save(nodes, [W])).graph is None


def test_operators_are_checked_before_weights(save):
    nodes = [
        node("MatMul", ["x", "nan"], "a"),
        node("Erf", ["a"], "c", name="e"),
        node("Erf", ["c"], "d", name="second"),
        node("Einsum", ["d"], "y", name="s"),
    ]
    with pytest.raises(NetworkError, match=r"'Erf', node 'e'.*'Einsum', node 's'") as caught:
        load_onnx(save(nodes, EXTRA))
    assert "second" not in str(caught.value)


def test_external_and_sparse_weights_are_refused(save):
    path = save([node("MatMul", ["x", "w"], "y")], [W])
    model = onnx.load(path)
    external = model.graph.initializer[0]
    external.ClearField("raw_data")
    external.data_location = TensorProto.EXTERNAL
    external.external_data.add(key="location", value="/etc/passwd")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(NetworkError, match="another file"):
        load_onnx(path)
    sparse = helper.make_sparse_tensor(tensor("w", np.ones(1, np.float32)), ints("i", 0), [3, 3])
    del model.graph.initializer[:]
    model.graph.sparse_initializer.append(sparse)
    path.write_bytes(model.SerializeToString())
    with pytest.raises(NetworkError, match="'w': is a sparse"):
        load_onnx(path)


@pytest.mark.parametrize("dims", [(3, 4), (2**40, 2**40), (-3, -3), (0, 3)])
def test_declared_sizes_are_compared_with_the_content(save, dims):
    path = save([node("MatMul", ["x", "w"], "y")], [W])
    model = onnx.load(path)
    model.graph.initializer[0].dims[:] = dims
    path.write_bytes(model.SerializeToString())
    with pytest.raises(FileFormatError, match="'w'"):
        load_onnx(path)


def test_half_precision_bits_out_of_range(save):
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT16, dims=[3, 1])
    weights.int32_data.extend([1, -1, 70000])
    with pytest.raises(InputError, match="'w'"):
        load_onnx(save([node("MatMul", ["x", "w"], "y")], [weights]))


def test_a_name_that_is_no_text(save):
    path = save([node("MatMul", ["x", "w"], "y", name="layer")], [W])
    path.write_bytes(path.read_bytes().replace(b"layer", b"lay\xffr"))
    with pytest.raises(FileFormatError, match="UTF-8"):
        load_onnx(path)


def test_files_that_are_no_model(tmp_path):
    path = tmp_path / "a.onnx"
    for content in (b"", b"PK\x03\x04 something else", b"\x00" * 100):
        path.write_bytes(content)
        with pytest.raises(FileFormatError, match="no"):
            load_onnx(path)
    with pytest.raises(InputError, match="no such file"):
        load_onnx(tmp_path / "missing.onnx")


@pytest.fixture
def small(save):
    nodes = [node("Gemm", ["x", "w", "b"], "a", alpha=0.5), node("Relu", ["a"], "y", name="r")]
    return save(nodes, [W, B])


def test_truncated_files(small):
    content = small.read_bytes()
    for length in range(len(content)):
        small.write_bytes(content[:length])
        with pytest.raises(FileFormatError):
            load_onnx(small)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(place=st.integers(0, 10**6), value=st.integers(0, 255), viewed=st.booleans())
def test_a_changed_byte_gives_a_network_or_an_input_error(save, place, value, viewed):
    nodes = [node("Gemm", ["x", "w", "b"], "a", alpha=0.5), node("Relu", ["a"], "y", name="r")]
    if viewed:
        nodes = [*view_by_size(13, "slice"), node("MatMul", ["flat", "w"], "y")]
    path = save(nodes, [W, B, *PLACES], shape=("N", 1, 3) if viewed else ("N", 3))
    content = bytearray(path.read_bytes())
    content[place % len(content)] = value
    path.write_bytes(content)
    message = ""
    try:
        load_onnx(path)
    except InputError as error:
        message = str(error)
    assert "\n" not in message
