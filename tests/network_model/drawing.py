"""Random networks: each begins with the kind of operation that is asked for, others follow and branch."""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from accelsim.compression.layer import CompressedLayer, CompressedNetwork
from accelsim.compression.sparse import append_column, sparse_codes
from accelsim.errors import NetworkError
from accelsim.network.builder import GraphBuilder
from accelsim.network.graph import (
    Activate,
    Affine,
    Concatenate,
    Convolution,
    Elementwise,
    FullyConnected,
    Pad,
    Pool,
    Recurrent,
    Reduce,
    Reshape,
    Slice,
    Softmax,
    Transpose,
)
from accelsim.network.shapes import Matrix
from network_model.windows import windows_of

FUNCTIONS = (
    "relu",
    "leaky_relu",
    "clip",
    "sigmoid",
    "hard_sigmoid",
    "hard_swish",
    "tanh",
    "sqrt",
    "square",
)
CELLS = (
    "lstm",
    "lstm_peepholes",
    "lstm_projection",
    "gru_after",
    "gru_before",
    "rnn_tanh",
    "rnn_relu",
    "qrnn",
)
KINDS = (
    "fully_connected",
    "convolution",
    "grouped",
    "depthwise",
    "pointwise",
    "convolution_1d",
    "max_pool",
    "average_pool",
    "mean",
    "sum",
    "max",
    *FUNCTIONS,
    "add",
    "subtract",
    "multiply",
    "affine",
    "concatenate",
    "reshape",
    "transpose",
    "slice",
    "pad",
    "reflect",
    *CELLS,
    "softmax",
)
# Softmax and roots of values around 0 end a branch, or need care.
FOLLOWING = tuple(kind for kind in KINDS if kind not in ("softmax", "square"))
GATES = {"lstm": 4, "gru": 3, "rnn": 1, "qrnn": 3}
MOST_VALUES = 200


class Drawn(NamedTuple):
    """A network, inputs float32[examples, *shape] by name, and the kinds of its steps in order."""

    network: CompressedNetwork
    inputs: dict[str, Any]
    kinds: list[str]


def draw_network(seed: int, kind: str, *, steps: int = 5, smooth: bool = False) -> Drawn:
    """A network whose first operation is of that kind.

    smooth: nothing that float32 rounding or another convention blows up: no roots near 0, no windows
    that ONNX places elsewhere
    """
    return _Drawing(np.random.default_rng([seed, KINDS.index(kind)]), smooth).draw(kind, steps)


@dataclass
class _Drawing:
    rng: np.random.Generator
    smooth: bool

    def draw(self, kind: str, steps: int) -> Drawn:
        self.layers: list[CompressedLayer] = []
        self.kinds: list[str] = []
        self.examples = int(self.rng.integers(1, 4))
        self.builder = GraphBuilder({})
        self.given: dict[str, Any] = {}
        self.ended: set[str] = set()
        self.matrix("first", *self.sizes(1, 4), source=self.new_input(self.shape_for(kind)))
        self.kinds.append("fully_connected")
        assert self.extend(kind), f"no tensor fits {kind}"
        for _ in range(int(self.rng.integers(0, steps))):
            self.extend(self.one_of(FOLLOWING))
        graph = self.builder.graph()
        network = CompressedNetwork(
            "drawn", tuple(self.layers), graph=graph, constants=self.builder.constants
        )
        return Drawn(network, self.given, self.kinds)

    # --- picking ---

    def one_of(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def sizes(self, count: int, most: int) -> list[int]:
        return [int(n) for n in self.rng.integers(1, most + 1, count)]

    def shape_for(self, kind: str) -> tuple[int, ...]:
        """A shape that the kind of operation works on."""
        image = (self.one_of([1, 2, 4]), *(n + 2 for n in self.sizes(2, 4)))
        sequence = (self.one_of([2, 3, 4]), self.sizes(1, 6)[0] + 2)
        if kind in CELLS:
            return sequence
        if kind == "convolution_1d":
            return sequence
        if kind in ("convolution", "grouped", "depthwise", "pointwise", "max_pool", "average_pool"):
            return image
        return self.one_of([image, sequence, (self.sizes(1, 8)[0] + 1,)])

    def tensor(self, ranks: Sequence[int] = (1, 2, 3)) -> str:
        """One of the tensors so far, the newest more often; a new input where none has the rank."""
        fitting = [
            name
            for name, shape in self.builder.shapes.items()
            if len(shape) in ranks and name not in self.ended
        ]
        if not fitting:
            shapes = [shape for shape in map(self.shape_for, KINDS) if len(shape) in ranks]
            return self.new_input(self.one_of(shapes))
        return fitting[-1] if self.rng.random() < 0.7 else self.one_of(fitting)

    # --- values ---

    def new_input(self, shape: tuple[int, ...]) -> str:
        name = f"in{len(self.given)}"
        self.builder.inputs[name] = self.builder.shapes[name] = shape
        scale = 2.0 ** self.rng.integers(-2, 3)
        values = self.rng.standard_normal((self.examples, *shape)) * scale
        values[self.rng.random(values.shape) < self.one_of([0.0, 0.5])] = 0
        if self.rng.random() < 0.1:
            values[0] = 0
        self.given[name] = values.astype(np.float32)
        return name

    def constant(self, size: int) -> str:
        name = f"constant{len(self.builder.constants)}"
        values = self.rng.standard_normal(size) * self.one_of([0.1, 1.0, 4.0])
        self.builder.constants[name] = values.astype(np.float32)
        return name

    def layer(self, name: str, n_out: int, n_in: int, **fields: Any) -> CompressedLayer:
        code_bits = self.one_of([2, 3, 4])
        density = self.one_of([0.2, 0.6, 1.0])
        kept = self.rng.random((n_out, n_in)) < density
        codes = np.where(kept, self.rng.integers(1, 2**code_bits, (n_out, n_in)), 0)
        sparse = sparse_codes(codes.astype(np.uint8))
        bias = self.one_of(["none", "coded", "exact"])
        if bias == "coded":
            column = self.rng.integers(0, 2**code_bits, n_out)
            sparse = append_column(sparse, column.astype(np.uint8))
        scale = self.one_of([0.5, 1.0, 2.0]) / math.sqrt(n_in)
        centroids = self.rng.standard_normal(2**code_bits - 1) * scale
        exact = self.rng.standard_normal(n_out) * scale
        layer = CompressedLayer(
            name=name,
            n_out=n_out,
            n_in=n_in,
            activation=fields.get("activation", self.one_of(["none", "none", "relu"])),
            codebook=np.append(0, centroids).astype(np.float32),
            sparse=sparse,
            bias_coded=bias == "coded",
            bias=exact.astype(np.float32) if bias == "exact" else None,
            code_bits=code_bits,
            index_bits=4,
            max_code_length=11,
        )
        self.layers.append(layer)
        return layer

    # --- steps ---

    def extend(self, kind: str) -> bool:
        """Add an operation of the kind, if it fits one of the tensors that are there."""
        for _ in range(20):
            before = copy.deepcopy((self.builder, self.layers, self.given))
            try:
                name = self.operation(kind)
            except NetworkError:  # it does not fit this tensor: take another one
                pass
            else:
                if math.prod(self.builder.shapes[name]) <= MOST_VALUES:
                    self.kinds.append(kind)
                    return True
            self.builder, self.layers, self.given = before
        return False

    def add(self, op: Any, *inputs: str, matrices: Any = None) -> str:
        name = f"{op.kind}{len(self.builder.shapes)}"
        return self.builder.add(name, op, *inputs, matrices=matrices)

    def operation(self, kind: str) -> str:
        if kind in FUNCTIONS:
            return self.activation(kind)
        if kind in CELLS:
            return self.cell(kind)
        special: dict[str, Callable[[], str]] = {
            "grouped": lambda: self.convolution_of(groups=2),
            "depthwise": lambda: self.convolution_of(groups=None),
            "pointwise": lambda: self.convolution_of(kernel=(1, 1)),
            "convolution": self.convolution_of,
            "convolution_1d": lambda: self.convolution_of(rank=2),
            "max_pool": lambda: self.pool("max"),
            "average_pool": lambda: self.pool("average"),
            "mean": lambda: self.reduce("mean"),
            "sum": lambda: self.reduce("sum"),
            "max": lambda: self.reduce("max"),
            "add": lambda: self.elementwise("add"),
            "subtract": lambda: self.elementwise("subtract"),
            "multiply": lambda: self.elementwise("multiply"),
            "pad": lambda: self.padded("zero"),
            "reflect": lambda: self.padded("reflect"),
        }
        return special[kind]() if kind in special else getattr(self, kind)()

    def matrix(self, name: str, n_out: int, source: str, **fields: Any) -> str:
        n_in = self.builder.shapes[source][-1]
        layer = self.layer(name, n_out, n_in, **fields)
        return self.builder.add(
            f"{name}.step",
            FullyConnected(layer=name),
            source,
            matrices={name: Matrix(layer.n_out, layer.n_in)},
        )

    def fully_connected(self) -> str:
        return self.matrix(f"fc{len(self.layers)}", self.sizes(1, 7)[0], self.tensor())

    def convolution_of(
        self, groups: int | None = 1, kernel: tuple[int, int] | None = None, rank: int = 3
    ) -> str:
        source = self.tensor([rank])
        channels = self.builder.shapes[source][0]
        groups = channels if groups is None else groups
        if channels % groups:
            channels = groups
            source = self.new_input((channels, 4, 3))
        flat = rank == 2
        tall, wide = kernel or tuple(self.sizes(2, 3))
        top, left, bottom, right = (int(n) for n in self.rng.integers(0, 3, 4))
        op = Convolution(
            layer=f"conv{len(self.layers)}",
            kernel=(1 if flat else tall, wide),
            stride=tuple(self.sizes(2, 3)),
            padding=(0, left, 0, right) if flat else (top, left, bottom, right),
            dilation=tuple(self.sizes(2, 2)),
            groups=groups,
        )
        n_out, n_in = groups * self.sizes(1, 3)[0], channels // groups * math.prod(op.kernel)
        self.layer(op.layer, n_out, n_in)
        return self.add(op, source, matrices={op.layer: Matrix(n_out, n_in)})

    def pool(self, mode: str) -> str:
        source = self.tensor([2, 3])
        tall, wide = self.sizes(2, 3)
        flat = len(self.builder.shapes[source]) == 2
        tall = 1 if flat else tall
        pads = [int(self.rng.integers(0, size)) for size in (tall, wide, tall, wide)]
        op = Pool(
            mode=mode,
            kernel=(tall, wide),
            stride=(1, self.sizes(1, 3)[0]) if flat else tuple(self.sizes(2, 3)),
            padding=tuple(pads),
            ceil=bool(self.rng.random() < 0.5),
            count_padding=bool(self.rng.random() < 0.5),
        )
        if self.smooth and op.ceil and not _onnx_agrees(op, self.builder.shapes[source]):
            raise NetworkError("ONNX has more windows")
        return self.add(op, source)

    def reduce(self, function: str) -> str:
        source = self.tensor()
        rank = len(self.builder.shapes[source])
        axes = self.rng.permutation(rank)[: self.rng.integers(1, rank + 1)]
        keep = bool(self.rng.random() < 0.5)
        return self.add(Reduce(function=function, axes=tuple(map(int, axes)), keep=keep), source)

    def activation(self, function: str) -> str:
        numbers = {
            "leaky_relu": (0.2, 0.0),
            "clip": (-0.5, 1.25),
            "hard_sigmoid": (0.2, 0.5),
        }
        alpha, beta = numbers.get(function, (0.0, 0.0))
        source = self.tensor()
        if function == "sqrt" and self.smooth:
            source = self.add(Activate(function="clip", alpha=0.2, beta=50.0), source)
        return self.add(Activate(function=function, alpha=alpha, beta=beta), source)

    def elementwise(self, function: str) -> str:
        """With itself, a tensor of its shape, or one that is stretched to it."""
        one = self.tensor()
        shape = self.builder.shapes[one]
        alike = [
            name
            for name, other in self.builder.shapes.items()
            if other == shape and name not in self.ended
        ]
        other = self.one_of(alike)
        if self.rng.random() < 0.5:
            narrow = tuple(self.one_of([1, size]) for size in shape)
            other = self.new_input(narrow[int(self.rng.integers(0, len(shape))) :])
        pair = (one, other) if self.rng.random() < 0.5 else (other, one)
        return self.add(Elementwise(function=function), *pair)

    def affine(self) -> str:
        source = self.tensor()
        channels = self.builder.shapes[source][0]
        scale, shift = self.constant(channels), self.constant(channels)
        return self.add(Affine(scale=scale, shift=shift), source)

    def concatenate(self) -> str:
        one = self.tensor()
        shape = self.builder.shapes[one]
        axis = int(self.rng.integers(len(shape)))
        fitting = [
            name
            for name, other in self.builder.shapes.items()
            if len(other) == len(shape)
            and (*other[:axis], *other[axis + 1 :]) == (*shape[:axis], *shape[axis + 1 :])
            and name not in self.ended
        ]
        others = [self.one_of(fitting) for _ in range(int(self.rng.integers(1, 3)))]
        return self.add(Concatenate(axis=axis), one, *others)

    def reshape(self) -> str:
        source = self.tensor()
        size = math.prod(self.builder.shapes[source])
        first = self.one_of([n for n in range(1, size + 1) if size % n == 0])
        shape = self.one_of([(size,), (first, size // first), (first, size // first, 1)])
        return self.add(Reshape(shape=shape), source)

    def transpose(self) -> str:
        source = self.tensor()
        axes = self.rng.permutation(len(self.builder.shapes[source]))
        return self.add(Transpose(axes=tuple(map(int, axes))), source)

    def slice(self) -> str:
        source = self.tensor()
        shape = self.builder.shapes[source]
        axis = int(self.rng.integers(len(shape)))
        start, stop, step = self.one_of(
            [(0, None, 1), (1, None, 1), (0, -1, 1), (0, None, 2), (-1, None, -1), (-2, None, 1)]
        )
        return self.add(Slice(axis=axis, start=start, stop=stop, step=step), source)

    def padded(self, mode: str) -> str:
        source = self.tensor()
        most = [2 if mode == "zero" else min(2, n - 1) for n in self.builder.shapes[source]]
        before, after = (tuple(int(self.rng.integers(0, n + 1)) for n in most) for _ in range(2))
        return self.add(Pad(before=before, after=after, mode=mode), source)

    def softmax(self) -> str:
        source = self.tensor()
        name = self.add(
            Softmax(axis=int(self.rng.integers(len(self.builder.shapes[source])))), source
        )
        self.ended.add(name)
        return name

    def cell(self, kind: str) -> str:
        cell, _, variant = kind.partition("_")
        hidden = self.sizes(1, 4)[0]
        state = self.sizes(1, 4)[0] if variant == "projection" else hidden
        source = self.tensor([2])
        number = len(self.layers)
        gates = GATES[cell] * hidden
        x = self.matrix(f"gates{number}", gates, source, activation="none")
        sizes: dict[str, list[tuple[int, int]]] = {
            "lstm": [(gates, state)],
            "lstm_peepholes": [(gates, state)],
            "lstm_projection": [(gates, state), (state, hidden)],
            "gru_after": [(gates, hidden)],
            "gru_before": [(2 * hidden, hidden), (hidden, hidden)],
            "rnn_tanh": [(hidden, hidden)],
            "rnn_relu": [(hidden, hidden)],
            "qrnn": [],
        }
        matrices = {
            f"cell{number}.{index}": Matrix(*size) for index, size in enumerate(sizes[kind])
        }
        for name, size in matrices.items():
            self.layer(name, *size, activation="none")
        peepholes = None
        if variant == "peepholes":
            peepholes = (self.constant(hidden), self.constant(hidden), self.constant(hidden))
        op = Recurrent(
            cell=cell,
            hidden=hidden,
            matrices=tuple(matrices),
            reset_after=variant != "before",
            function="relu" if variant == "relu" else "tanh",
            peepholes=peepholes,
            reverse=bool(self.rng.random() < 0.3),
            with_cell=cell == "lstm" and bool(self.rng.random() < 0.3),
        )
        initial = []
        if self.rng.random() < 0.5:
            initial = [self.new_input((state,))]
            if cell == "lstm" and self.rng.random() < 0.7:
                initial.append(self.new_input((hidden,)))
        return self.add(op, x, *initial, matrices=matrices)


def _onnx_agrees(op: Pool, shape: tuple[int, ...]) -> bool:
    """Whether ONNX, which keeps windows that start in the padding behind, takes as many."""
    windows = windows_of(op, shape)
    return all(
        len(axis.starts)
        == math.ceil((axis.before + axis.size + axis.after - axis.kernel) / axis.stride) + 1
        for axis in (windows.vertical, windows.horizontal)
    )
