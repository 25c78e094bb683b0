import numpy as np
import pytest

from accelsim.errors import AccelsimError, FileFormatError, InputError, NetworkError
from accelsim.network.caffe import read_prototxt
from accelsim.network.shapes import Matrix, tensor_shapes

HEAD = 'name: "net" input: "data" input_dim: 1 input_dim: 4 input_dim: 9 input_dim: 7\n'


def layer(kind, name="x", bottom="data", top=None, param=""):
    bottoms = " ".join(f'bottom: "{b}"' for b in bottom.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{top or name}" {param} }}\n'


CONV = layer("Convolution", "c", param="convolution_param { num_output: 6 kernel_size: 3 }")


@pytest.fixture
def read(tmp_path):
    def read_text(text):
        path = tmp_path / "deploy.prototxt"
        path.write_text(text, encoding="utf-8")
        return read_prototxt(path)

    return read_text


def shapes(net):
    matrices = {name: layer.matrix for name, layer in net.layers.items()}
    return tensor_shapes(net.graph, matrices, {})


def test_a_whole_network(read):
    """Every layer type; sizes worked out by hand from Caffe's rules."""
    net = read(
        HEAD
        + CONV  # 6 × 7 × 5
        + layer("ReLU", "r", "c", "c")
        + layer("Pooling", "p", "c", param="pooling_param { kernel_size: 2 stride: 2 }")  # 4 × 3
        + layer("Dropout", "d", "p", "p", "dropout_param { dropout_ratio: 0.5 }")
        + layer(
            "Convolution",
            "g",
            "p",
            param="convolution_param { num_output: 6 pad: 1 kernel_size: 3 group: 3 bias_term: false"
            ' weight_filler { type: "xavier" } }',
        )
        + layer("Eltwise", "sum", "p g")
        + layer("Concat", "cat", "sum p g")
        + layer("Pooling", "all", "cat", param="pooling_param { pool: AVE global_pooling: true }")
        + layer("InnerProduct", "fc", "cat", param="inner_product_param { num_output: 5 }")
        + layer("Softmax", "prob", "fc")
    )
    assert net.name == "net"
    assert {
        name: (*one.matrix, one.has_bias, one.rectified) for name, one in net.layers.items()
    } == {
        "c": (6, 36, True, True),
        "g": (6, 18, False, False),
        "fc": (5, 18 * 12, True, False),
    }
    found = shapes(net)
    assert (found["c"], found["p"], found["g"]) == ((6, 7, 5), (6, 4, 3), (6, 4, 3))
    assert (found["cat"], found["all"], found["prob"]) == ((18, 4, 3), (18, 1, 1), (5,))
    assert net.graph.outputs == ("all", "prob")
    pool = net.graph.steps[1].op
    assert (pool.ceil, pool.count_padding) == (True, True)
    assert [step.name for step in net.graph.steps] == [
        *("c", "p", "g", "sum", "cat", "all", "fc.flat", "fc", "prob")
    ]


@pytest.mark.parametrize(
    ("size", "pad", "kernel", "stride"),
    [(s, p, k, t) for s in (5, 6, 7, 8) for p in (0, 1) for k in (2, 3) for t in range(1, k + 1)],
)
def test_windows_are_counted_as_caffe_counts_them(read, size, pad, kernel, stride):
    """Caffe: rounded up; with padding, a window that would start beyond the image is left out."""
    count = int(np.ceil((size + 2 * pad - kernel) / stride)) + 1
    if pad and (count - 1) * stride >= size + pad:
        count -= 1
    text = f'input: "data" input_shape {{ dim: 1 dim: 2 dim: {size} dim: {size} }}'
    text += layer(
        "Pooling",
        param=f"pooling_param {{ kernel_size: {kernel} pad: {pad} stride: {stride} }}",
    )
    net = read(text + layer("InnerProduct", "f", "x", param="inner_product_param {num_output: 1}"))
    assert shapes(net)["x"] == (2, count, count)


def test_an_input_layer_and_sizes_per_axis(read):
    net = read(
        'layer { name: "data" type: "Input" top: "data" input_param '
        "{ shape { dim: 10 dim: 3 dim: 8 dim: 9 } } }"
        + layer(
            "Convolution",
            param="convolution_param { num_output: 2 kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 1 "
            "stride: 1 stride: 2 dilation: 2 }",
        )
    )
    (step,) = net.graph.steps
    assert step.op.kernel == (1, 3)
    assert step.op.padding == (0, 1, 0, 1)
    assert (step.op.stride, step.op.dilation) == ((1, 2), (2, 2))
    assert net.graph.inputs == {"data": (3, 8, 9)}
    assert net.layers["x"].matrix == Matrix(2, 9)


def test_a_relu_that_others_read_past_stays_a_step(read):
    net = read(HEAD + CONV + layer("ReLU", "r", "c") + layer("Eltwise", "e", "c r"))
    assert not net.layers["c"].rectified
    assert [step.op.kind for step in net.graph.steps] == [
        "convolution",
        "activation",
        "elementwise",
    ]


def test_a_leaky_relu_stays_a_step(read):
    net = read(HEAD + CONV + layer("ReLU", "r", "c", "c", "relu_param { negative_slope: 0.5 }"))
    assert (net.graph.steps[1].op.function, net.graph.steps[1].op.alpha) == ("leaky_relu", 0.5)
    assert not net.layers["c"].rectified


def test_sums_and_products_of_several(read):
    text = HEAD + layer("Eltwise", "e", "data data data", param="eltwise_param { operation: PROD }")
    net = read(text + CONV)
    assert [step.name for step in net.graph.steps] == ["e.part", "e", "c"]
    assert {step.op.function for step in net.graph.steps[:2]} == {"multiply"}


def test_all_unknown_types_are_in_one_message(read):
    text = HEAD + CONV + layer("LRN", "n1", "c") + layer("LRN", "n2", "n1")
    with pytest.raises(NetworkError, match=r"LRN \(n1, n2\); Accuracy \(acc\): the supported"):
        read(text + layer("Accuracy", "acc", "n2"))


POOL = "pooling_param {{ kernel_size: 2 {} }}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (CONV, "has no input"),
        (HEAD, "has no layer with weights"),
        (HEAD + 'layers { name: "x" type: CONVOLUTION }', "Caffe's old format"),
        (HEAD + "color: 1", "unknown field 'color'"),
        ('input: "a" input: "b" input_dim: 3 ' + CONV, "has 2 inputs, but 1 input_dim"),
        ('input: "data" input_dim: 3 ' + CONV, "input 'data': has 1 sizes"),
        (HEAD + layer("ReLU", bottom="nowhere"), "layer 'x': no layer before it gives 'nowhere'"),
        (HEAD + 'layer { type: "ReLU" }', "layer 1: field 'name' is missing"),
        (HEAD + layer("ReLU", bottom="data data"), "layer 'x': takes one bottom, has 2"),
        (HEAD + layer("Eltwise"), "layer 'x': takes two bottoms"),
        (HEAD + CONV + CONV, "step 'c': the name is taken"),
        (HEAD + layer("Convolution"), "layer 'x': field 'num_output' is missing"),
        (
            HEAD + layer("Convolution", param="convolution_param { num_output: 0 kernel_size: 1 }"),
            "layer 'x': num_output=0",
        ),
        (
            HEAD + layer("Convolution", param="convolution_param { num_output: 2 }"),
            "layer 'x': kernel must be given once",
        ),
        (
            HEAD
            + layer(
                "Convolution",
                param="convolution_param { num_output: 2 kernel_size: 1 kernel_h: 1 kernel_w: 1}",
            ),
            "layer 'x': kernel is given twice",
        ),
        (
            HEAD + layer("Convolution", param="convolution_param { num_output: 2 kernel_h: 1 }"),
            "layer 'x': kernel must be given",
        ),
        (
            HEAD
            + layer(
                "Convolution", param="convolution_param {num_output: 3 kernel_size: 1 group: 3}"
            ),
            "layer 'x': group=3 does not divide 4",
        ),
        (
            HEAD + layer("Convolution", param="convolution_param {num_output: 1 kernel_size: 99}"),
            "step 'x': the kernel is larger",
        ),
        (HEAD + layer("Pooling", param=POOL.format("pool: STOCHASTIC")), "pool='STOCHASTIC'"),
        (
            HEAD + layer("Pooling", param=POOL.format("stride: 2 stride: 2")),
            "'stride' stands there 2",
        ),
        (HEAD + layer("Pooling", param=POOL.format("colour: 2")), "unknown field 'colour'"),
        (
            HEAD + layer("ReLU", param="include { phase: TRAIN }"),
            "field 'include' is not supported",
        ),
        (HEAD + layer("ReLU", param="relu_param: 3"), "'relu_param' must be one message"),
        (HEAD + CONV + layer("Softmax", "s", "c") + layer("ReLU", "r", "s"), "softmax"),
    ],
)
def test_what_is_refused(read, text, message):
    with pytest.raises(AccelsimError, match=message) as caught:
        shapes(read(text))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_prototxt(tmp_path / "no.prototxt")
    path = tmp_path / "latin.prototxt"
    path.write_bytes(b"name: \xff")
    with pytest.raises(FileFormatError, match=r"latin.prototxt: is no text in UTF-8"):
        read_prototxt(path)
    path.write_bytes(b"#" * (2**22 + 1))
    with pytest.raises(InputError, match="limit"):
        read_prototxt(path)
