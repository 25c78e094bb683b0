"""Networks from modules of PyTorch, traced with torch.fx. torch is imported only when it is used."""

import inspect
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeAlias

from accelsim.errors import InputError, NetworkError
from accelsim.network.files import checked_file, first_line
from accelsim.network.graph import Shape
from accelsim.network.layers import Network
from accelsim.network.torch_graph.build import network_of
from accelsim.network.torch_graph.context import BATCHES, Node
from accelsim.network.torch_graph.results import dependent_nodes, merged, recorder

if TYPE_CHECKING:
    from torch.nn import Module

Shapes: TypeAlias = Sequence[int] | Mapping[str, Sequence[int]]


def from_torch(
    module: "Module",
    shape: Shapes,
    *,
    name: str | None = None,
    state_dict: "str | PathLike[str] | Mapping[str, Any] | None" = None,
) -> Network:
    """Turn a torch module, as it computes in evaluation mode, into a network.

    shape: sizes of one example, without the batch; or sizes by argument of ``forward``, for several
    name: of the network; by default the module's class
    state_dict: parameters, or a file of them, that the module takes over before; a file is read with
        ``weights_only=True``, so that nothing in it is executed

    The module runs once on batches of 2 and 3 examples of zeros. Batch normalisation goes into the
    weights before it, and ReLU becomes a layer's activation. Layers are named as in the module
    (``features.0``; of an LSTM ``lstm.l0.input`` and ``lstm.l0.state``). Weights are copied.

    Raises InputError if torch is missing, for a state_dict that does not fit and for wrong shapes;
    NetworkError if the module cannot be traced, and for everything in it that is not supported, in
    one message.
    """
    _check_module(module)
    if state_dict is not None:
        _load_state(module, state_dict)
    root = _as_container(module)
    with _evaluating(root):
        inputs = _input_shapes(root, shape)
        traced = _traced(root, inputs)
        results = _results(traced, inputs)
    return network_of(traced, inputs, results, name or type(module).__name__)


def _check_module(module: object) -> None:
    try:
        import torch
    except ImportError:
        raise InputError("torch is not installed: pip install 'accelsim[train]'") from None
    if not isinstance(module, torch.nn.Module):
        raise InputError(f"{type(module).__name__} is no torch.nn.Module: give a module")


def _as_container(module: Any) -> Any:
    """The module, or a container of it if it is one of torch's own, which are not looked into."""
    from torch import fx, nn

    is_own = fx.Tracer().is_leaf_module(module, "")
    return nn.Sequential(OrderedDict({type(module).__name__: module})) if is_own else module


def _load_state(module: Any, state: Any) -> None:
    import torch

    place = "state_dict"
    if not isinstance(state, Mapping):
        place = str(checked_file(state))
        try:
            state = torch.load(state, map_location="cpu", weights_only=True)
        except Exception as error:  # whatever a damaged file makes of the unpickler
            raise InputError(f"{place}: cannot be read ({first_line(error)})") from error
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        line = " ".join(str(error).split())
        raise InputError(f"{place}: does not fit the module: {line}") from error


@contextmanager
def _evaluating(module: Any) -> Iterator[None]:
    """Evaluation mode; afterwards each submodule has the mode that it had."""
    import torch

    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about how torch computes what is only looked at
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def _input_shapes(module: Any, shape: Shapes) -> dict[str, Shape]:
    """Sizes of one example by argument of forward; arguments with defaults may be left out."""
    arguments = inspect.signature(module.forward).parameters
    if not isinstance(shape, Mapping):
        shape = dict.fromkeys(list(arguments)[:1], shape)
    for name in shape:
        if name not in arguments:
            raise InputError(f"shape: forward has no argument '{name}': it has {list(arguments)}")
    for name, argument in arguments.items():
        if name not in shape and argument.default is argument.empty:
            raise InputError(f"shape: argument '{name}' of forward needs one: give it by name")
    if not shape:
        raise InputError("shape: the module has no input, or none is given")
    return {name: _checked_sizes(name, sizes) for name, sizes in shape.items()}


def _checked_sizes(name: str, sizes: Any) -> Shape:
    is_list = isinstance(sizes, list | tuple) and len(sizes) > 0
    if not is_list or not all(type(size) is int and size > 0 for size in sizes):
        raise InputError(f"shape of '{name}': {sizes!r}: give sizes of one example: (3, 32, 32)")
    return tuple(sizes)


def _traced(module: Any, inputs: Mapping[str, Shape]) -> Any:
    """The module as torch.fx.GraphModule; arguments without a shape take their defaults."""
    from torch import fx

    arguments = inspect.signature(module.forward).parameters
    defaults = {
        name: argument.default for name, argument in arguments.items() if name not in inputs
    }
    try:
        return fx.GraphModule(module, fx.Tracer().trace(module, concrete_args=defaults))
    except Exception as error:  # the module's own code runs here
        raise NetworkError(
            f"module {type(module).__name__} cannot be traced by torch.fx ({first_line(error)}): "
            "take what depends on values out of forward, or export it to ONNX"
        ) from error


def _results(traced: Any, inputs: Mapping[str, Shape]) -> dict[Node, Any]:
    """What each node gives: Dims for tensors that depend on the input, else the value itself."""
    import torch

    floats = (p for p in traced.parameters() if p.is_floating_point())
    like = next(floats, torch.zeros(1))
    places = [node for node in traced.graph.nodes if node.op == "placeholder"]
    runs: list[dict[Node, Any]] = []
    for batch in BATCHES:
        given = [
            torch.zeros((batch, *inputs[node.target]), dtype=like.dtype, device=like.device)
            if node.target in inputs
            else next(iter(node.args), None)  # an argument at its default
            for node in places
        ]
        try:
            runs.append(_recorded(traced, dependent_nodes(traced.graph, inputs), given))
        except Exception as error:  # the module's own code runs here
            shapes = ", ".join(str(list(sizes)) for sizes in inputs.values())
            raise NetworkError(
                f"module fails on a batch of {batch} examples of {shapes}: {first_line(error)}"
            ) from error
    return merged(*runs)


def _recorded(traced: Any, dependent: set[Node], given: list[Any]) -> dict[Node, Any]:
    """Run the module once; what each node gave."""
    from torch import fx

    run: dict[Node, Any] = {}
    record = recorder(dependent, run)
    interpreter: Any = fx.Interpreter(traced)
    run_node = interpreter.run_node
    interpreter.run_node = lambda node: record(node, run_node(node))
    interpreter.run(*given)
    return run
