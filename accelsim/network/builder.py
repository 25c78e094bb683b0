"""A graph put together step by step: what every importer of whole networks shares."""

from collections.abc import Mapping, Sequence

from accelsim.errors import NetworkError
from accelsim.network.arrays import Float32
from accelsim.network.graph import Graph, Operation, Shape, Step
from accelsim.network.shapes import Matrix, tensor_shapes


class GraphBuilder:
    """Steps so far, and the shapes of all tensors, which an importer needs to go on.

    shapes: of inputs and steps, by name, without a batch
    constants: float32 arrays that steps name; add them before the step
    """

    def __init__(self, inputs: Mapping[str, Shape]) -> None:
        self.inputs = dict(inputs)
        self.shapes: dict[str, Shape] = dict(inputs)
        self.constants: dict[str, Float32] = {}
        self._steps: list[Step] = []

    def add(
        self,
        name: str,
        op: Operation,
        *inputs: str,
        matrices: Mapping[str, Matrix] | None = None,
    ) -> str:
        """Add a step and return its name; matrices: sizes of the layers that it applies.

        Raises NetworkError for a name that is taken, an input that is not there, and shapes that do
        not fit.
        """
        if name in self.shapes:
            raise NetworkError(f"step '{name}': the name is taken already: rename one")
        for before in inputs:
            if before not in self.shapes:
                raise NetworkError(f"step '{name}': no input '{before}' before it")
        step = Step(name=name, op=op, inputs=inputs)
        alone = Graph(
            inputs={before: self.shapes[before] for before in inputs},
            steps=(step,),
            outputs=(name,),
        )
        self.shapes[name] = tensor_shapes(alone, matrices or {}, self.constants)[name]
        self._steps.append(step)
        return name

    def unique(self, name: str) -> str:
        """Return the name, or one made from it that no tensor has."""
        free, number = name, 2
        while free in self.shapes:
            free, number = f"{name}.{number}", number + 1
        return free

    def graph(self, outputs: Sequence[str] | None = None) -> Graph:
        """The graph; its outputs are by default the steps that no other reads."""
        if outputs is None:
            read = {name for step in self._steps for name in step.inputs}
            outputs = [step.name for step in self._steps if step.name not in read]
        return Graph(inputs=self.inputs, steps=tuple(self._steps), outputs=tuple(outputs))
