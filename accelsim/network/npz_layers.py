"""Layers in the arrays of an `.npz` file, alike for dense weights and for codebook codes."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias, TypeVar, cast

from numpy.typing import NDArray

from accelsim.errors import FileFormatError, NetworkError
from accelsim.network.layers import ACTIVATIONS, Activation

AnyArray: TypeAlias = NDArray[Any]
Group: TypeAlias = dict[str, AnyArray]
T = TypeVar("T")

# A group of one of these describes a layer; other arrays are somebody else's and are ignored.
FIELDS = frozenset(
    {"weights", "codes", "codebook", "bias", "bias_codes", "activations", "activation"}
)
# What may stand beside several layers without belonging to one of them.
SHARED = frozenset({"activations", "codebook"})


@dataclass(frozen=True)
class LayerArrays:
    """The arrays of a network: fields by layer, and whether each layer feeds the next."""

    layers: dict[str, Group]
    chained: bool

    @property
    def activations(self) -> Group:
        """Input vectors by layer, of those that have their own."""
        return {
            name: group["activations"]
            for name, group in self.layers.items()
            if "activations" in group
        }

    def activation(self, name: str) -> Activation:
        """Return the activation that a layer names; else relu between chained layers, else none.

        Raises NetworkError for anything but a word that is known.
        """
        group = self.layers[name]
        if "activation" in group:
            return _activation_word(name, group["activation"])
        return "relu" if self.chained and name != list(self.layers)[-1] else "none"


def layer_arrays(
    arrays: Mapping[str, AnyArray], main: Literal["weights", "codes"], single: str
) -> LayerArrays:
    """Arrays by layer, in the order of their first appearance; each layer has the field `main`.

    A layer without a name is called `single`. Beside named layers, `activations` without a name are
    the first layer's input, and a `codebook` without a name is the one of every layer that has none
    of its own. Layers are independent where each has activations and their shapes do not chain.

    Raises FileFormatError for missing, ambiguous and misplaced fields, NetworkError for names.
    """
    groups = {
        prefix: group for prefix, group in layer_groups(arrays).items() if FIELDS & group.keys()
    }
    named = {prefix: group for prefix, group in groups.items() if prefix}
    if named:
        _share(groups.get("", {}), named)
    layers = named or ({single: groups[""]} if groups else {})
    if not any((FIELDS - SHARED) & group.keys() for group in layers.values()):
        found = ", ".join(repr(key) for key in list(arrays)[:8]) or "no arrays"
        raise FileFormatError(
            f"has no field '{main}' (it has {found}): name the arrays '{main}', or '<layer>/{main}'"
        )
    for name, group in layers.items():
        _check_fields(name, f"{name}/{main}" if named else main, group, main)
    fits = all(
        before[main].shape[:1] == after[main].shape[-1:]
        for before, after in pairwise(layers.values())
    )
    independent = not fits and all("activations" in group for group in layers.values())
    return LayerArrays(layers, chained=not independent)


def layer_groups(arrays: Mapping[str, T]) -> dict[str, dict[str, T]]:
    """Arrays by layer and field: 'fc1/weights' and 'fc1.weights' are 'weights' of layer 'fc1'.

    A name without separator belongs to layer ''. Raises FileFormatError for a field given twice.
    """
    groups: dict[str, dict[str, T]] = {}
    for key, array in arrays.items():
        cut = max(key.rfind("/"), key.rfind("."))
        prefix, field = key[: max(cut, 0)], key[cut + 1 :]
        group = groups.setdefault(prefix, {})
        if field in group:
            raise FileFormatError(f"field {key!r}: layer {prefix!r} has two of these: remove one")
        group[field] = array
    return groups


def _share(top: Group, named: dict[str, Group]) -> None:
    """Give the fields that stand beside named layers to the layers that they are for."""
    for field in top:
        if field in FIELDS - SHARED:
            raise FileFormatError(
                f"field {field!r}: has no layer, but other fields have one: "
                f"rename it to '<layer>/{field}'"
            )
    first = next(iter(named))
    if "activations" in top:
        if "activations" in named[first]:
            raise FileFormatError(
                f"fields 'activations' and {first + '/activations'!r}: "
                "are both the first layer's input: remove one"
            )
        named[first]["activations"] = top["activations"]
    if "codebook" in top:
        for group in named.values():
            group.setdefault("codebook", top["codebook"])


def _check_fields(name: str, field: str, group: Group, main: str) -> None:
    """FileFormatError unless the layer has its main field and one bias."""
    if not name.isprintable():
        raise NetworkError(f"layer {name!r}: give it a name of printable characters")
    if main not in group and main == "weights" and "codes" in group:
        raise FileFormatError(
            f"field {field!r}: missing, but there are 'codes': the file is compressed already; "
            "load it as a compressed network"
        )
    if main not in group:
        given = ", ".join(repr(other) for other in group if other in FIELDS)
        raise FileFormatError(f"field {field!r}: missing next to {given}: add it")
    if "bias" in group and "bias_codes" in group:
        raise FileFormatError(
            f"layer {name!r}: has both 'bias' and 'bias_codes': remove one of them"
        )


def _activation_word(name: str, given: AnyArray) -> Activation:
    """Return the word in an array of one string, as text or as bytes."""
    if given.dtype.kind not in "SU" or given.size != 1:
        raise NetworkError(
            f"layer {name!r}: field 'activation' has type {given.dtype} and shape {given.shape}: "
            f"give one of the words {', '.join(ACTIVATIONS)}"
        )
    word = given.reshape(()).item()
    text = word.decode("utf-8", "backslashreplace") if isinstance(word, bytes) else word
    if text not in ACTIVATIONS:
        raise NetworkError(
            f"layer {name!r}: activation {text!r} is not supported: "
            f"use one of {', '.join(ACTIVATIONS)}"
        )
    return cast(Activation, text)
