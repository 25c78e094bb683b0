"""Functions that the vector unit looks up, one value at a time."""

import math
from collections.abc import Callable

from accelsim.network.graph import Activate


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def function_value(op: Activate, x: float) -> float:
    """An activation function, in double precision."""
    functions: dict[str, Callable[[], float]] = {
        "leaky_relu": lambda: x if x >= 0 else op.alpha * x,
        "clip": lambda: min(max(x, op.alpha), op.beta),
        "sigmoid": lambda: sigmoid(x),
        "hard_sigmoid": lambda: min(max(op.alpha * x + op.beta, 0.0), 1.0),
        "hard_swish": lambda: x * min(max(x / 6 + 0.5, 0.0), 1.0),
        "sqrt": lambda: math.sqrt(max(x, 0.0)),
        "square": lambda: x * x,
        "tanh": lambda: math.tanh(x),
    }
    return functions[op.function]()
