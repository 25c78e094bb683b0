"""What a node of an ONNX graph says: attributes by name, and how messages name the node."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

OUR_DOMAINS = ("", "ai.onnx")


def where(node: "NodeProto") -> str:
    """How messages name a node: operator, its own name, and its output."""
    operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    output = node.output[0] if node.output else ""
    return f"operator {operator!r}, node {node.name!r}, output {output!r}"


def _attribute(node: "NodeProto", name: str) -> Any:
    return next((item for item in node.attribute if item.name == name), None)


def integer(node: "NodeProto", name: str, default: int) -> int:
    """Return an integer attribute of the node."""
    item = _attribute(node, name)
    return default if item is None else int(item.i)


def real(node: "NodeProto", name: str, default: float) -> float:
    """Return a float attribute of the node."""
    item = _attribute(node, name)
    return default if item is None else float(item.f)


def integers(node: "NodeProto", name: str) -> list[int] | None:
    """Return a list of integers, or None if the node has none of that name."""
    item = _attribute(node, name)
    return None if item is None else [int(value) for value in item.ints]


def text(node: "NodeProto", name: str, default: str) -> str:
    """Return a text attribute of the node."""
    item = _attribute(node, name)
    return default if item is None else item.s.decode("utf-8", "replace")


def texts(node: "NodeProto", name: str) -> list[str]:
    """Return a list of texts; an empty one if the node has none of that name."""
    item = _attribute(node, name)
    return [] if item is None else [value.decode("utf-8", "replace") for value in item.strings]


def has_attribute(node: "NodeProto", name: str) -> bool:
    """Whether the node has the attribute."""
    return _attribute(node, name) is not None


def subgraph(node: "NodeProto", name: str) -> "GraphProto":
    """Return a graph attribute, such as a branch; an empty graph if there is none."""
    from onnx import GraphProto

    item = _attribute(node, name)
    return GraphProto() if item is None else item.g


def subgraphs(node: "NodeProto") -> "list[GraphProto]":
    """All graphs that the node's attributes hold."""
    return [item.g for item in node.attribute if item.HasField("g")]
