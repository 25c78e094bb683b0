"""Models as PyTorch exports them; without torch there is nothing to export."""

import warnings

import numpy as np
import pytest
from unit.network.onnx_models import assert_same_as_onnxruntime

torch = pytest.importorskip("torch")
nn = torch.nn

OPSETS = [11, 13, 17]


class Residual(nn.Module):
    """Two ResNet blocks, one of them with a projection."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4))
        self.left = nn.Sequential(
            nn.Conv2d(4, 8, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
        )
        self.right = nn.Sequential(nn.Conv2d(4, 8, 1, stride=2, bias=False), nn.BatchNorm2d(8))
        self.before = nn.Sequential(nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.pool, self.last = nn.AdaptiveAvgPool2d(1), nn.Linear(8, 5)

    def forward(self, x):
        x = nn.functional.max_pool2d(torch.relu(self.first(x)), 3, 2, 1)
        x = torch.relu(self.left(x) + self.right(x))
        x = x + self.before(x)
        return self.last(torch.flatten(self.pool(x), 1))


class Mobile(nn.Module):
    """An inverted residual with squeeze and excitation."""

    def __init__(self, activation):
        super().__init__()
        self.expand = nn.Sequential(nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), activation)
        depthwise = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8, bias=False)
        self.depthwise = nn.Sequential(depthwise, nn.BatchNorm2d(8), activation)
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(8, 2, 1), nn.ReLU(), nn.Conv2d(2, 8, 1)
        )
        self.project = nn.Conv2d(8, 4, 1)
        self.last = nn.Linear(4 * 4 * 4, 3)

    def forward(self, x):
        x = self.depthwise(self.expand(x * 0.5 + 0.25))
        x = self.project(x * nn.functional.hardsigmoid(self.squeeze(x)))
        return torch.softmax(self.last(x.view(x.size(0), -1)), dim=1)


class Shuffle(nn.Module):
    """Channel shuffle, chunks and concatenation, as in ShuffleNet."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.branch = nn.Sequential(nn.Conv2d(4, 4, 1), nn.LeakyReLU(0.1), nn.AvgPool2d(1))

    def forward(self, x):
        left, right = self.conv(x).chunk(2, dim=1)
        x = torch.cat([left, self.branch(right)], dim=1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return torch.clamp(x, min=0).mean(dim=(2, 3))


class Tagger(nn.Module):
    """A recurrent network over batch-first sequences, then a layer on every time step."""

    def __init__(self, kind, **options):
        super().__init__()
        self.cell = kind(3, 4, batch_first=True, **options)
        self.last = nn.Linear(8 if options.get("bidirectional") else 4, 2)

    def forward(self, x):
        y, _ = self.cell(x)
        return self.last(y), self.last(y[:, -1])


class Streaming(nn.Module):
    """One step of a network whose states are its inputs and outputs."""

    def __init__(self):
        super().__init__()
        self.cell, self.last = nn.LSTM(3, 4), nn.Linear(4, 2)

    def forward(self, x, h, c):
        y, (h, c) = self.cell(x, (h, c))
        return self.last(torch.relu(y)), h, c


class Signal(nn.Module):
    """Convolutions over time, dilated and padded, then a GRU on channels last."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.ConstantPad1d((2, 0), 0.0),
            nn.Conv1d(2, 4, 3),
            nn.BatchNorm1d(4),
            nn.Tanh(),
            nn.ReflectionPad1d(2),
            nn.Conv1d(4, 4, 3, dilation=2),
            nn.SiLU(),
            nn.MaxPool1d(2, ceil_mode=True),
        )
        self.cell = nn.GRU(4, 3, batch_first=True)

    def forward(self, x):
        _, h = self.cell(self.layers(x).transpose(1, 2))
        return h[-1]


IMAGE, SEQUENCE = (3, 8, 8), (5, 3)
# Modules, shapes of one sample, and where inputs and outputs count samples.
MODULES = {
    "residual": (Residual, [IMAGE], [0], [0]),
    "mobile": (lambda: Mobile(nn.Hardswish()), [IMAGE], [0], [0]),
    "mobile relu6": (lambda: Mobile(nn.ReLU6()), [IMAGE], [0], [0]),
    "shuffle": (Shuffle, [IMAGE], [0], [0]),
    "lstm": (lambda: Tagger(nn.LSTM, num_layers=2), [SEQUENCE], [0], [0, 0]),
    "bilstm": (lambda: Tagger(nn.LSTM, num_layers=2, bidirectional=True), [SEQUENCE], [0], [0, 0]),
    "gru": (lambda: Tagger(nn.GRU), [SEQUENCE], [0], [0, 0]),
    "bigru": (lambda: Tagger(nn.GRU, bidirectional=True, num_layers=2), [SEQUENCE], [0], [0, 0]),
    "rnn": (lambda: Tagger(nn.RNN), [SEQUENCE], [0], [0, 0]),
    "rnn relu": (lambda: Tagger(nn.RNN, nonlinearity="relu"), [SEQUENCE], [0], [0, 0]),
    "streaming": (Streaming, [(1, 3), (1, 4), (1, 4)], [1, 1, 1], [1, 1, 1]),
    "signal": (Signal, [(2, 11)], [0], [0]),
}


def randomized(module):
    """The module for inference, with statistics of normalisation that are not 0 and 1."""
    torch.manual_seed(0)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(part.running_var, 0.5, 2.0)
            nn.init.normal_(part.running_mean)
            nn.init.normal_(part.weight)
    return module.eval()


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
@pytest.mark.parametrize("case", MODULES.values(), ids=MODULES.keys())
def test_exported_modules(tmp_path, case, is_dynamic, opset):
    build, shapes, axes, result_axes = case
    names = [f"x{index}" for index in range(len(shapes))]
    results = [f"y{index}" for index in range(len(result_axes))]
    given = [
        torch.randn([*shape[:axis], 1, *shape[axis:]])
        for shape, axis in zip(shapes, axes, strict=True)
    ]
    dynamic = {
        name: {axis: "batch"}
        for name, axis in zip([*names, *results], [*axes, *result_axes], strict=True)
    }
    path = tmp_path / "net.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the exporter says of itself
        torch.onnx.export(
            randomized(build()),
            tuple(given),
            path,
            input_names=names,
            output_names=results,
            dynamic_axes=dynamic if is_dynamic else None,
            opset_version=opset,
            dynamo=False,
        )
    declared = {
        name: tuple("N" if is_dynamic and at == axis else size for at, size in enumerate(x.shape))
        for name, x, axis in zip(names, given, axes, strict=True)
    }
    network = assert_same_as_onnxruntime(path, declared, *result_axes)
    assert list(network.flow.graph.inputs.values()) == [tuple(np.array(shape)) for shape in shapes]
