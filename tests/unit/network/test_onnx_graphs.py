import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from unit.network.onnx_models import Model, assert_same_as_onnxruntime

from accelsim.errors import FileFormatError, NetworkError
from accelsim.network.onnx.file import load_onnx

OPSETS = [11, 13, 17, 21]


def image(m):
    """An input [N, channels, height, width], or [N, channels, time], after a 1 × 1 convolution."""
    axes = int(m.rng.integers(1, 3))
    sizes = [int(size) for size in m.rng.integers(5, 9, axes)]
    x = m.input("N", 3, *sizes)
    channels = int(m.rng.choice([2, 4, 6]))
    return m.node("Conv", x, m.floats(channels, 3, *[1] * axes)), channels, sizes


def rows(m, *shape):
    """An input [N, *shape] after a matrix on its last axis."""
    x = m.input("N", *shape)
    return m.node("MatMul", x, m.floats(shape[-1], shape[-1]))


def window(m, axes, *, same, padded=True):
    """Random attributes of a window, which fit sizes of at least 5."""
    rng = m.rng
    attributes = {
        "kernel_shape": [int(size) for size in rng.integers(1, 4, axes)],
        "strides": [int(size) for size in rng.integers(1, 4, axes)],
    }
    if same and rng.integers(3) == 0:
        attributes["auto_pad"] = str(rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"]))
        # ONNX Runtime refuses pools that leave values out.
        sizes = zip(attributes["kernel_shape"], attributes["strides"], strict=True)
        attributes["strides"] = [min(pair) for pair in sizes]
    elif padded and rng.integers(2):
        kernel = attributes["kernel_shape"] * 2
        attributes["pads"] = [int(rng.integers(0, size)) for size in kernel]
    return {name: value for name, value in attributes.items() if rng.integers(6) or name[0] != "s"}


def conv(m):
    x, channels, sizes = image(m)
    groups = int(m.rng.choice([1, 2, channels]))
    n_out = groups * int(m.rng.integers(1, 4))
    attributes = window(m, len(sizes), same=True)
    kernel = attributes.pop("kernel_shape") if m.rng.integers(2) else attributes["kernel_shape"]
    if "auto_pad" not in attributes:
        attributes["dilations"] = [int(size) for size in m.rng.integers(1, 3, len(sizes))]
    bias = [m.floats(n_out)] if m.rng.integers(2) else []
    weights = m.floats(n_out, channels // groups, *kernel)
    return m.node("Conv", x, weights, *bias, group=groups, **attributes), 0


def normalized(m):
    x, channels, sizes = image(m)
    if m.rng.integers(3) == 0:
        x = m.node("Relu", x)
    elif m.rng.integers(2):
        x = m.node("Conv", x, m.floats(channels, channels, *[2] * len(sizes)), m.floats(channels))
    scale, shift, mean = (m.floats(channels) for _ in range(3))
    variance = m.constant(m.rng.uniform(0.5, 2, channels).astype(np.float32))
    y = m.node("BatchNormalization", x, scale, shift, mean, variance, epsilon=1e-3)
    return (m.node("Relu", y) if m.rng.integers(2) else y), 0


def pool(m):
    x, _, sizes = image(m)
    op = str(m.rng.choice(["MaxPool", "AveragePool"]))
    attributes = window(m, len(sizes), same=True)
    if "auto_pad" not in attributes and (op == "MaxPool" or m.opset >= 19):
        attributes["ceil_mode"] = int(m.rng.integers(2))
    if op == "AveragePool":
        attributes["count_include_pad"] = int(m.rng.integers(2))
    return m.node(op, x, **attributes), 0


def global_pool(m):
    x, _, _ = image(m)
    return m.node(str(m.rng.choice(["GlobalAveragePool", "GlobalMaxPool"])), x), 0


def activation(m):
    x, _, _ = image(m)
    ops = ["Relu", "LeakyRelu", "Clip", "Sigmoid", "HardSigmoid", "Tanh", "Sqrt", "Pow"]
    op = str(m.rng.choice([*ops, "HardSwish"] if m.opset >= 14 else ops))
    if op == "Clip":
        low, high = m.constant(np.float32(-0.5)), m.constant(np.float32(0.75))
        bounds = [[low, high], ["", high], [low], [m.constant(np.float32(0)), high]]
        return m.node("Clip", x, *bounds[m.rng.integers(4)]), 0
    if op == "Sqrt":
        return m.node("Sqrt", m.node("Pow", x, m.constant(np.float32(2)))), 0
    if op == "Pow":
        return m.node(
            "Pow",
            x,
            m.constant([np.float32(2), np.int64(2)][m.rng.integers(2) if m.opset > 11 else 0]),
        ), 0
    if op == "LeakyRelu" and m.rng.integers(2):
        return m.node(op, x, alpha=0.3), 0
    if op == "HardSigmoid" and m.rng.integers(2):
        return m.node(op, x, alpha=0.3, beta=0.4), 0
    return m.node(op, x), 0


def two_tensors(m):
    """A residual, or a product with one value per channel (squeeze and excitation)."""
    x, channels, sizes = image(m)
    other = m.node("Conv", x, m.floats(channels, channels, *[1] * len(sizes)))
    if m.rng.integers(2):
        other = m.node("GlobalAveragePool", other)
    order = [x, other] if m.rng.integers(2) else [other, x]
    op = str(m.rng.choice(["Add", "Sub", "Mul", "Sum"]))
    order = [*order, x] if op == "Sum" and m.rng.integers(2) else order
    y = m.node(op, *order)
    return (m.node("Relu", y) if m.rng.integers(2) else y), 0


def constants(m):
    """Sums and products with constants of every shape that fits."""
    x, channels, sizes = image(m)
    if m.rng.integers(2):
        x = m.node("Sigmoid", x)
    for _ in range(m.rng.integers(1, 3)):
        shape = [channels, *sizes]
        shape = [size if m.rng.integers(2) else 1 for size in shape][m.rng.integers(4) :]
        shape = [1, *shape] if len(shape) == len(sizes) + 1 and m.rng.integers(2) else shape
        values = m.floats(*shape)
        op = str(m.rng.choice(["Add", "Sub", "Mul", "Div"]))
        order = [x, values] if op == "Div" or m.rng.integers(2) else [values, x]
        x = m.node(op, *order)
    return x, 0


def linear(m):
    """Layers on sequences, with biases, scales and activations after them."""
    n = int(m.rng.integers(2, 6))
    x = rows(m, *[(n,), (3, n), (2, 3, n), (1, n)][m.rng.integers(4)])
    for _ in range(m.rng.integers(1, 4)):
        op = str(m.rng.choice(["MatMul", "Add", "Mul", "Relu", "Sub"]))
        operands = {"MatMul": (n, n), "Add": (n,), "Mul": (1,), "Sub": (1, n)}
        x = m.node(op, x, *([m.floats(*operands[op])] if op in operands else []))
    return x, 0


def gemm(m):
    x, channels, sizes = image(m)
    n_in, n_out = channels * int(np.prod(sizes)), int(m.rng.integers(1, 5))
    x = m.node("Flatten", x)
    transposed = int(m.rng.integers(2))
    weights = m.floats(n_out, n_in) if transposed else m.floats(n_in, n_out)
    bias = [m.floats(*[(n_out,), (1, n_out), (1,), ()][m.rng.integers(4)])]
    x = m.node("Gemm", x, weights, *bias[: m.rng.integers(2)], transB=transposed, alpha=0.5)
    if m.rng.integers(2):
        parts = [m.floats(n_out) for _ in range(3)]
        parts.append(m.constant(m.rng.uniform(0.5, 2, n_out).astype(np.float32)))
        x = m.node("BatchNormalization", x, *parts)
    return m.node(str(m.rng.choice(["Relu", "Sigmoid", "Identity", "Softmax"])), x), 0


def rearranged(m):
    x = rows(m, 2, 3, 4)
    dims = ["N", 2, 3, 4]
    for _ in range(m.rng.integers(1, 4)):
        op = str(m.rng.choice(["Transpose", "Reshape", "Squeeze", "Flatten", "MatMul"]))
        rest = [size for size in dims if size != "N"]
        if op == "Transpose":
            order = [int(axis) for axis in m.rng.permutation(len(dims))]
            x, dims = m.node("Transpose", x, perm=order), [dims[axis] for axis in order]
        elif op == "Reshape" and dims[0] == "N":
            shapes = [(0, -1), (-1, *rest[::-1]), (0, 0, -1), (0, -1, rest[-1])]
            shape = shapes[m.rng.integers(4)] if len(dims) > 3 else (0, 1, -1)
            x = m.node("Reshape", x, m.ints(*shape))
            sizes = [size or [1, *rest][axis] for axis, size in enumerate(shape)]
            dims = ["N", *np.empty(rest).reshape([1, *sizes[1:]]).shape[1:]]
        elif op == "Squeeze":
            axis = int(m.rng.integers(len(dims) + 1))
            x = m.along("Unsqueeze", x, [axis])
            dims.insert(axis, 1)
        elif op == "MatMul" and dims[-1] != "N":
            x = m.node("MatMul", x, m.floats(dims[-1], 3))
            dims = [*dims[:-1], 3]
    return m.node("Tanh", x), dims.index("N")


def sliced(m):
    x = rows(m, 6, 5, 4)
    sizes = [None, 6, 5, 4]
    axes = [int(axis) for axis in m.rng.permutation([1, 2, 3])[: m.rng.integers(1, 3)]]
    starts, ends, steps = [], [], []
    for axis in axes:
        start, end = sorted(m.rng.choice(sizes[axis] + 1, 2, replace=False))
        kind = m.rng.integers(4)
        if kind == 0:
            start, end, step = int(start) - sizes[axis], 2**31 - 1, 2
        elif kind == 1:
            start, end, step = -1, -(2**31), int(m.rng.choice([-1, -2]))
        else:
            start, end, step = int(start), int(end), 1
        starts, ends, steps = [*starts, min(start, sizes[axis] - 1)], [*ends, end], [*steps, step]
    if m.rng.integers(2):
        axes = [axis - 4 for axis in axes]
    lists = [m.ints(*values) for values in (starts, ends, axes, steps)]
    return m.node("Slice", x, *lists), 0


def joined(m):
    """Split, work on the parts, and concatenate."""
    x = rows(m, 4, 6)
    axis = int(m.rng.choice([1, 2, -1]))
    length = [None, 4, 6][axis]
    count = int(m.rng.choice([2, length]))
    sizes = [1] * (count - 1) + [length - count + 1]
    given = m.rng.integers(2)
    if m.opset < 13:
        attributes = {"split": sizes} if given else {}
        parts = m.nodes_of("Split", count, x, axis=axis, **attributes)
    elif given:
        parts = m.nodes_of("Split", count, x, m.ints(*sizes), axis=axis)
    else:
        attributes = {"num_outputs": count} if m.opset >= 18 else {}
        parts = m.nodes_of("Split", count, x, axis=axis, **attributes)
    parts = [m.node("Sigmoid", part) if m.rng.integers(2) else part for part in parts]
    return m.node("Concat", *[parts[i] for i in m.rng.permutation(count)], axis=axis), 0


def gathered(m):
    x = rows(m, 5, 4)
    axis = int(m.rng.choice([1, 2, -1]))
    places = [np.int64(-1), np.int64(2), np.array([1, 2]), np.array([3, 1]), np.array([0])]
    return m.node("Gather", x, m.constant(places[m.rng.integers(5)]), axis=axis), 0


def padded(m):
    x, _, sizes = image(m)
    before, after = ([0, 0, *m.rng.integers(0, 4, len(sizes))] for _ in range(2))
    mode = str(m.rng.choice(["constant", "reflect"]))
    if m.opset >= 18 and m.rng.integers(2):
        axes = list(range(-len(sizes), 0))
        return m.node("Pad", x, m.ints(*before[2:], *after[2:]), "", m.ints(*axes), mode=mode), 0
    return m.node("Pad", x, m.ints(*before, *after), mode=mode), 0


def reduced(m):
    x, _, sizes = image(m)
    op = str(m.rng.choice(["ReduceMean", "ReduceSum", "ReduceMax"]))
    rank = len(sizes) + 2
    count = int(m.rng.integers(1, rank))
    axes = [int(axis) for axis in 1 + m.rng.permutation(rank - 1)[:count]]
    axes = [axis - rank for axis in axes] if m.rng.integers(2) else axes
    keep = int(m.rng.integers(2))
    return m.along(op, x, axes, 13 if op == "ReduceSum" else 18, keepdims=keep), 0


def softmaxed(m):
    x = rows(m, *[(5,), (3, 4), (1, 4), (2, 1, 3)][m.rng.integers(4)])
    rank = len(m.inputs["x0"])
    axis = int(m.rng.choice([-1, 1, rank - 1]))
    return m.node("Softmax", x, axis=axis), 0


def bounded(m):
    """Clip as the difference between two functions of the vector unit, by Max and Min."""
    x, _, _ = image(m)
    low = m.node("Max", *[x, m.constant(np.float32(0))][:: int(m.rng.choice([1, -1]))])
    return m.node("Min", low, m.constant(np.float32([0.5]))), 0


CASES = {
    case.__name__: case
    for case in (
        conv,
        normalized,
        pool,
        global_pool,
        activation,
        two_tensors,
        constants,
        linear,
        gemm,
        bounded,
        rearranged,
        sliced,
        joined,
        gathered,
        padded,
        reduced,
        softmaxed,
    )
}


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_random_models_compute_what_onnxruntime_computes(tmp_path, case, opset):
    for seed in range(12):
        m = Model(opset, np.random.default_rng([opset, seed]))
        output, axis = case(m)
        path = m.save(tmp_path / f"{seed}.onnx", output)
        assert_same_as_onnxruntime(path, m.inputs, axis)


def kinds(network):
    return [step.op.kind for step in network.flow.steps]


def test_normalisation_bias_and_relu_go_into_the_layer(tmp_path):
    m = Model(17, np.random.default_rng(0))
    x = m.node("Conv", m.input("N", 3, 5, 5), m.floats(4, 3, 3, 3))
    parts = [m.floats(4), m.floats(4), m.floats(4), m.constant(np.ones(4, np.float32))]
    x = m.node("Relu", m.node("Mul", m.node("BatchNormalization", x, *parts), m.floats(4, 1, 1)))
    y = m.node("Relu", m.node("Add", m.node("MatMul", x, m.floats(3, 2)), m.floats(2)))
    network = assert_same_as_onnxruntime(m.save(tmp_path / "net.onnx", y), m.inputs)
    assert kinds(network) == ["convolution", "fully_connected"]
    assert [layer.activation for layer in network.layers] == ["relu", "relu"]


def test_a_layer_that_others_read_takes_nothing_in(tmp_path):
    m = Model(17, np.random.default_rng(0))
    x = m.node("Conv", m.input("N", 3, 5, 5), m.floats(4, 3, 1, 1))
    scaled, rectified = m.node("Mul", x, m.floats(4, 1, 1)), m.node("Relu", x)
    y = m.node("Add", scaled, rectified)
    network = assert_same_as_onnxruntime(m.save(tmp_path / "net.onnx", y), m.inputs)
    assert kinds(network) == ["convolution", "affine", "activation", "elementwise"]
    network = assert_same_as_onnxruntime(
        m.save(tmp_path / "net.onnx", x, rectified), m.inputs, 0, 0
    )
    assert kinds(network) == ["convolution", "activation"]


def test_constants_in_a_row_are_one_affine_step(tmp_path):
    m = Model(17, np.random.default_rng(0))
    x = m.node("Sub", m.input("N", 3, 5, 5), m.floats(1, 3, 1, 1))
    x = m.node("Div", x, m.constant(np.float32([[[0.5]], [[2.0]], [[3.0]]])))
    y = m.node("Conv", m.node("Add", x, m.constant(np.float32(0))), m.floats(2, 3, 3, 3))
    network = assert_same_as_onnxruntime(m.save(tmp_path / "net.onnx", y), m.inputs)
    assert kinds(network) == ["affine", "convolution"]
    assert sorted(array.shape for array in network.constants.values()) == [(3,), (3,)]


def test_names_of_steps_and_inputs(tmp_path):
    m = Model(17, np.random.default_rng(0))
    m.rng = type("Named", (), {"integers": lambda *_: 1})()
    x = m.input("N", 2, 3)
    w = m.constant(np.ones((4, 6), np.float32))
    y = m.node("Gemm", m.node("Flatten", m.node("Sigmoid", x)), w, transB=1)
    network = load_onnx(m.save(tmp_path / "net.onnx", y))
    assert network.graph.inputs == {"x0": (2, 3)}
    assert [step.name for step in network.graph.steps] == ["sigmoid0", "flatten1", "gemm2"]
    assert [layer.name for layer in network.layers] == ["gemm2"]
    assert network.graph.outputs == ("gemm2",)


def test_several_inputs_and_outputs(tmp_path):
    m = Model(17, np.random.default_rng(0))
    one = m.node("MatMul", m.input("N", 3), m.floats(3, 4))
    other = m.node("MatMul", m.input("N", 2), m.floats(2, 4))
    both = m.node("Add", one, other)
    joined = m.node("Concat", one, both, axis=1)
    path = m.save(tmp_path / "net.onnx", both, joined, both)
    network = load_onnx(path)
    assert len(network.graph.outputs) == 2
    path = m.save(tmp_path / "net.onnx", both, joined)
    assert_same_as_onnxruntime(path, m.inputs, 0, 0)


@pytest.mark.parametrize("shape", [(4, 1, 6, 6), (1, 1, 6, 6), ("N", 1, 6, 6), (1, 6, 6)])
def test_samples_of_any_fixed_number(tmp_path, shape):
    """Four samples; one; any number; and an image without an axis of samples."""
    m = Model(17, np.random.default_rng(0))
    x = m.input(*shape)
    x = m.along("Unsqueeze", x, [0]) if len(shape) == 3 else x
    y = m.node("Conv", x, m.floats(3, 1, 3, 3), strides=[2, 2])
    network = load_onnx(m.save(tmp_path / "net.onnx", y))
    assert network.graph.inputs == {"x0": (6, 6) if len(shape) == 3 else (1, 6, 6)}
    assert network.flow.shapes[network.graph.outputs[0]] == (3, 2, 2)


def branch(*nodes, output, initializers=()):
    info = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), "branch", [], [info], list(initializers))


@pytest.mark.parametrize("size", [1, 4])
@pytest.mark.parametrize("opset", OPSETS)
def test_the_branch_of_a_known_condition_is_taken(tmp_path, size, opset):
    """Squeeze if an axis has size 1, as exporters write it; the other branch is not looked at."""
    m = Model(opset, np.random.default_rng(0))
    x = m.node("MatMul", m.input("N", size, 3), m.floats(3, 2))
    length = m.node("Gather", m.node("Shape", x), m.constant(np.int64(1)), axis=0)
    is_one = m.node("Not", m.node("Not", m.node("Equal", length, m.constant(np.int64(1)))))
    unsupported = branch(helper.make_node("Erf", [x], ["e"]), output="e")
    if size == 1:
        axes = [] if opset < 13 else ["one"]
        attributes = {} if axes else {"axes": [1]}
        one = numpy_helper.from_array(np.array([1]), "one")
        squeeze = helper.make_node("Squeeze", [x, *axes], ["s"], **attributes)
        then, other = branch(squeeze, output="s", initializers=[one] * len(axes)), unsupported
    else:
        then, other = unsupported, branch(helper.make_node("Relu", [x], ["r"]), output="r")
    y = m.node("If", is_one, then_branch=then, else_branch=other)
    z = m.node("MatMul", y, m.floats(2, 2))
    network = assert_same_as_onnxruntime(m.save(tmp_path / "net.onnx", z), m.inputs)
    assert len(network.layers) == 2


def test_shapes_that_are_computed(tmp_path):
    """Heads as attention views them: sizes by Gather, products, and Where for what is -1."""
    m = Model(17, np.random.default_rng(0))
    x = m.node("MatMul", m.input("N", 5, 6), m.floats(6, 6))
    sizes = m.node("Shape", x)
    n, t, c = (m.node("Gather", sizes, m.ints(index), axis=0) for index in range(3))
    heads = m.node("Div", c, m.ints(2))
    split = m.node("Concat", n, t, m.ints(2), heads, axis=0)
    x = m.node("Transpose", m.node("Reshape", x, split), perm=[0, 2, 1, 3])
    count = m.node("Size", sizes)
    wanted = m.node("Concat", n, m.node("Mul", t, m.node("Add", heads, heads)), axis=0)
    is_long = m.node("Greater", count, m.constant(np.int64(2)))
    wanted = m.node("Where", is_long, wanted, m.node("Sub", wanted, m.ints(0, 1)))
    y = m.node("Reshape", m.node("Tanh", x), wanted)
    assert_same_as_onnxruntime(m.save(tmp_path / "net.onnx", y), m.inputs)


def test_weights_that_are_put_together(tmp_path):
    m = Model(17, np.random.default_rng(0))
    parts = [m.node("Slice", m.floats(6, 3), m.ints(i), m.ints(i + 2), m.ints(0)) for i in (4, 0)]
    joined = m.node("Concat", *parts, axis=0)
    weights = m.node("Transpose", m.node("Mul", joined, m.constant(np.float32(2))))
    zeros = m.node("Expand", m.constant(np.float32([0])), m.ints(1, 4))
    bias = m.node("MatMul", m.node("Squeeze", zeros, m.ints(0)), m.floats(4, 4))
    y = m.node(
        "Add", m.node("MatMul", m.input("N", 3), weights), m.node("Unsqueeze", bias, m.ints(0))
    )
    network = assert_same_as_onnxruntime(m.save(tmp_path / "net.onnx", y), m.inputs)
    assert network.graph is None


def test_an_integer_input_that_nothing_needs(tmp_path):
    m = Model(17, np.random.default_rng(0))
    x = m.node("MatMul", m.input("N", 3), m.floats(3, 2))
    zero = m.node("Cast", m.node("Mul", "rate", m.constant(np.int64(0))), to=TensorProto.FLOAT)
    path = m.save(tmp_path / "net.onnx", m.node("Add", x, zero))
    model = onnx.load(path)
    model.graph.input.append(helper.make_tensor_value_info("rate", TensorProto.INT64, ()))
    onnx.save(model, path)
    assert load_onnx(path).graph is None
    model.graph.node[1].input[1] = "rate"
    onnx.save(model, path)
    with pytest.raises(NetworkError, match="'rate', which has ONNX type 7"):
        load_onnx(path)


def dynamic(m, *shape):
    return m.node("Conv", m.input(*shape), m.floats(2, 3, 1, 1))


def batch_of_two(m, op, *inputs, **attributes):
    x = m.node("MatMul", m.input("N", 4, 3), m.floats(3, 3))
    return m.node(op, x, *inputs, **attributes)


REFUSED = {
    "height": (
        lambda m: dynamic(m, "N", 3, "H", 8),
        r"'x0': axis 2 \('H'\).*--dim_param H --dim_value",
    ),
    "nameless": (lambda m: dynamic(m, "N", 3, None, 8), "--input_shape SIZE,3,SIZE,8"),
    "second": (lambda m: dynamic(m, 1, 3, "H", 8), r"axis 2 \('H'\)"),
    "volume": (
        lambda m: m.node("Conv", m.input("N", 3, 4, 4, 4), m.floats(2, 3, 1, 1, 1)),
        r"\[channels, time\] and \[channels, height, width\]",
    ),
    "groups": (
        lambda m: m.node("Conv", m.input("N", 3, 4, 4), m.floats(2, 3, 1, 1), group=0),
        "groups",
    ),
    "misfit": (
        lambda m: m.node("Conv", m.input("N", 3, 4, 4), m.floats(2, 2, 1, 1)),
        "matrix has 2 columns",
    ),
    "large kernel": (
        lambda m: m.node("Conv", m.input("N", 3, 4, 4), m.floats(2, 3, 5, 1)),
        "larger than the padded input",
    ),
    "kernel shape": (
        lambda m: m.node("Conv", m.input("N", 3, 4, 4), m.floats(2, 3, 1, 1), kernel_shape=[2, 2]),
        "kernel_shape differs",
    ),
    "stride": (
        lambda m: m.node("Conv", m.input("N", 3, 4, 4), m.floats(2, 3, 1, 1), strides=[0, 1]),
        "too small",
    ),
    "pads": (
        lambda m: m.node("Conv", m.input("N", 3, 4, 4), m.floats(2, 3, 1, 1), pads=[1]),
        "do not fit its kernel",
    ),
    "auto pad": (
        lambda m: m.node("Conv", m.input("N", 3, 4, 4), m.floats(2, 3, 1, 1), auto_pad="ANY"),
        "'ANY' is not known",
    ),
    "weights of data": (
        lambda m: m.node("Conv", m.input("N", 3, 4, 4), m.input(2, 3, 1, 1)),
        "no constant",
    ),
    "places of maxima": (
        lambda m: m.node(
            "Add", *m.nodes_of("MaxPool", 2, dynamic(m, "N", 3, 4, 4), kernel_shape=[2, 2])
        ),
        "gives places",
    ),
    "dilated pool": (
        lambda m: m.node(
            "MaxPool", dynamic(m, "N", 3, 8, 8), kernel_shape=[2, 2], dilations=[2, 2]
        ),
        "dilations",
    ),
    "pooled samples": (
        lambda m: m.node("GlobalMaxPool", m.node("MatMul", m.input("N", 3), m.floats(3, 3))),
        "nothing to pool over",
    ),
    "training": (
        lambda m: m.node(
            "BatchNormalization", dynamic(m, "N", 3, 4, 4), *[m.floats(2)] * 4, training_mode=1
        ),
        "training mode",
    ),
    "product of data": (
        lambda m: batch_of_two(m, "MatMul", m.input("N", 3, 3)),
        "two tensors of data",
    ),
    "exponent": (
        lambda m: batch_of_two(m, "Pow", m.constant(np.float32(3))),
        "exponents 2 and 0.5",
    ),
    "division by data": (
        lambda m: m.node("Div", m.floats(1), batch_of_two(m, "Tanh")),
        "no constant",
    ),
    "division by zero": (lambda m: batch_of_two(m, "Div", m.constant(np.float32(0))), "by zero"),
    "bounds": (lambda m: batch_of_two(m, "Clip", m.floats(2)), "2 values: give one"),
    "maximum of data": (lambda m: batch_of_two(m, "Max", m.input("N", 4, 3)), "one number only"),
    "reduced samples": (lambda m: batch_of_two(m, "ReduceMean", axes=[0]), "across samples"),
    "all reduced": (lambda m: batch_of_two(m, "ReduceMax"), "across samples"),
    "sliced samples": (
        lambda m: batch_of_two(m, "Slice", m.ints(0), m.ints(1), m.ints(0)),
        "chooses among samples",
    ),
    "nothing sliced": (
        lambda m: batch_of_two(m, "Slice", m.ints(3), m.ints(3), m.ints(1)),
        "takes no values",
    ),
    "uneven bounds": (
        lambda m: batch_of_two(m, "Slice", m.ints(0, 1), m.ints(1), m.ints(1)),
        "do not fit each other",
    ),
    "axis of slice": (
        lambda m: batch_of_two(m, "Slice", m.ints(0), m.ints(1), m.ints(7)),
        r"cuts axes \[7\] of 3",
    ),
    "gathered samples": (lambda m: batch_of_two(m, "Gather", m.ints(0), axis=0), "chooses among samples"),
    "gathered beyond": (lambda m: batch_of_two(m, "Gather", m.ints(5), axis=1), "of 4 values"),
    "gathered at will": (lambda m: batch_of_two(m, "Gather", m.ints(0, 2, 3), axis=1), "evenly"),
    "padded samples": (lambda m: batch_of_two(m, "Pad", m.ints(1, 0, 0, 0, 0, 0)), "pads samples"),
    "padded with ones": (
        lambda m: batch_of_two(m, "Pad", m.ints(*[0, 1, 0] * 2), m.constant(np.float32(1))),
        "zeros and 'reflect'",
    ),
    "pad mode": (lambda m: batch_of_two(m, "Pad", m.ints(*[0, 1, 0] * 2), mode="edge"), "'edge'"),
    "negative pad": (lambda m: batch_of_two(m, "Pad", m.ints(*[0, -1, 0] * 2)), "greater than"),
    "split": (
        lambda m: m.node(
            "Concat", *m.nodes_of("Split", 2, batch_of_two(m, "Tanh"), m.ints(1, 1), axis=1)
        ),
        r"4 values into \[1, 1\]",
    ),
    "joined with a constant": (
        lambda m: batch_of_two(m, "Concat", m.floats(2, 4, 3), axis=1),
        "joins",
    ),
    "joined samples": (
        lambda m: batch_of_two(m, "Concat", m.input("N", 4, 3), axis=0),
        "across samples",
    ),
    "joined ranks": (
        lambda m: batch_of_two(m, "Concat", m.input("N", 3), axis=1),
        "numbers of axes",
    ),
    "crossed samples": (
        lambda m: m.node("Add", m.input("N", 3), m.node("Transpose", m.input("N", 3))),
        "mixes samples",
    ),
    "shapes": (lambda m: batch_of_two(m, "Add", m.input("N", 2, 3)), "do not fit"),
    "stretched by a constant": (
        lambda m: m.node("Mul", m.node("MatMul", m.input("N", 1), m.floats(1, 1)), m.floats(1, 5)),
        r"factor has shape \(1, 5\)",
    ),
    "order": (lambda m: batch_of_two(m, "Transpose", perm=[0, 0, 1]), "does not fit"),
    "softmax before the end": (
        lambda m: m.node("Tanh", batch_of_two(m, "Softmax")),
        "softmax stands",
    ),
    "condition": (
        lambda m: m.node(
            "If",
            batch_of_two(m, "Tanh"),
            then_branch=branch(output="y"),
            else_branch=branch(output="y"),
        ),
        "chooses by data",
    ),
    "missing branch": (
        lambda m: m.node("Add", batch_of_two(m, "Tanh"), m.node("If", m.constant(True))),
        "no|not",
    ),
    "only constants": (
        lambda m: m.node("Add", batch_of_two(m, "Tanh"), m.node("Tanh", m.floats(3))),
        "first",
    ),
    "large constant": (
        lambda m: m.node(
            "Add", batch_of_two(m, "Tanh"), m.node("Expand", m.floats(1), m.ints(2**40))
        ),
        "more than",
    ),
    "large filling": (
        lambda m: m.node(
            "Add", batch_of_two(m, "Tanh"), m.node("ConstantOfShape", m.ints(2**40, 2**40))
        ),
        "more than",
    ),
    "large input": (
        lambda m: m.node("MatMul", m.input("N", 2**31, 2**31), m.floats(3, 3)),
        "but gets",
    ),
    "larger input": (
        lambda m: m.node("MatMul", m.input("N", 2**31, 3), m.floats(3, 3)),
        "at most",
    ),
}


@pytest.mark.parametrize(("build", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_imported_is_named(tmp_path, build, message):
    m = Model(17, np.random.default_rng(0))
    path = m.save(tmp_path / "net.onnx", build(m))
    with pytest.raises(NetworkError, match=message) as caught:
        load_onnx(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_tensor_that_is_given_twice(tmp_path):
    m = Model(17, np.random.default_rng(0))
    y = batch_of_two(m, "Tanh")
    m.nodes.append(m.nodes[-1])
    with pytest.raises(FileFormatError, match="again"):
        load_onnx(m.save(tmp_path / "net.onnx", y))
