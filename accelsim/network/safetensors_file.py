"""Fully connected networks from .safetensors files, and telling accelsim's own files from them.

The format is a length (8 bytes, little-endian), a JSON header of that length, and the tensors'
bytes. It is read here directly: the safetensors library does not give bfloat16 to NumPy, and every
size of a damaged file has to be checked before memory is taken.
"""

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import FileFormatError, InputError, NetworkError
from accelsim.network.files import StrPath, checked_file, first_line, naming_file
from accelsim.network.flow import check_chain
from accelsim.network.layers import MAX_DIMENSION, Activation, Layer, Network

ARTIFACT_PREFIX = "accelsim."
MAX_HEADER_BYTES = 100_000_000  # the format's own limit
_MAX_RANK = 32  # as many dimensions as NumPy once had; a product of more is not computed

# Bytes per value of the types that the format knows, but for F4 and F6, of less than a byte.
_ITEM_BYTES = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("BOOL", "I8", "U8", "F8_E4M3", "F8_E5M2", "F8_E8M0"), 1),
}
_NUMPY_TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
# The search for an order may try many: longer networks are asked for names in order.
_MAX_REORDERED = 16


class TensorInfo(NamedTuple):
    """A tensor's type as the format names it, its shape, and where its bytes start in the file."""

    dtype: str
    shape: tuple[int, ...]
    offset: int


class Header(NamedTuple):
    """What a .safetensors file says of its content: tensors by name, and free text by key."""

    tensors: dict[str, TensorInfo]
    metadata: dict[str, str]


def load_safetensors(path: StrPath) -> Network:
    """Read a fully connected network: ``<layer>.weight`` [n_out, n_in], ``<layer>.bias`` if any.

    Types F64, F32, F16 and BF16 become float32. Layers come in the natural order of their names
    (fc2 before fc10); if their shapes do not fit so, in the one order in which they fit. The
    metadata key ``activations`` may hold a JSON object {layer: 'none' | 'relu' | 'softmax'}; a
    layer that is not in it has 'relu', the last one 'none'.

    Raises InputError for a file that cannot be read, FileFormatError for a damaged one,
    NetworkError for other tensors than these and for layers that do not fit.
    """
    path = Path(path)
    header = read_header(path)
    with naming_file(path):
        if _is_artifact_header(header):
            raise FileFormatError(
                "is a compressed network of accelsim, not a dense one: "
                "load it as a compressed network"
            )
        _check_supported(header.tensors)
        shapes = {
            name.removesuffix("weight").removesuffix("."): cast(tuple[int, int], info.shape)
            for name, info in header.tensors.items()
            if _field(name) == "weight"
        }
        order = _layer_order(shapes)
        activations = _activations(header.metadata, order, path.stem)
        layers = tuple(
            Layer(
                name=prefix or path.stem,
                weights=_read_tensor(path, header, prefix, "weight"),
                bias=_read_tensor(path, header, prefix, "bias"),
                activation=activations[prefix],
            )
            for prefix in order
        )
        return Network(path.stem, layers, source=path.name)


def is_artifact(path: StrPath) -> bool:
    """Whether `path` is a compressed network that accelsim wrote; reads the header only.

    False also for a file that is missing, damaged or of another format.
    """
    try:
        return _is_artifact_header(read_header(path))
    except InputError:
        return False


def read_header(path: StrPath) -> Header:
    """Read the header of a .safetensors file, checked: the tensors fill the file without gaps.

    Raises InputError for a file that cannot be opened, FileFormatError for a damaged one.
    """
    path = checked_file(path)
    with naming_file(path), path.open("rb") as stream:
        size = path.stat().st_size
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > min(MAX_HEADER_BYTES, size - 8):
            raise FileFormatError(
                f"says that its header has {length} bytes, the file has {size}: "
                "it is damaged or no .safetensors file"
            )
        entries = _parse_json(stream.read(length))
        metadata = _checked_metadata(entries.pop("__metadata__", {}))
        return Header(_checked_tensors(entries, 8 + length, size), metadata)


def _parse_json(text: bytes) -> dict[str, Any]:
    try:
        entries = json.loads(text, object_pairs_hook=_unique_keys)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(
            f"its header is no JSON ({first_line(error)}): it is damaged or no .safetensors file"
        ) from error
    if not isinstance(entries, dict):
        raise FileFormatError("its header is no JSON object: it is damaged, write it again")
    return entries


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError("a key is given twice")
    return entries


def _checked_metadata(metadata: object) -> dict[str, str]:
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise FileFormatError("field '__metadata__': give an object of texts")
    return metadata


def _checked_tensors(entries: Mapping[str, Any], start: int, size: int) -> dict[str, TensorInfo]:
    """Return the tensors of the header; together they cover bytes `start` to `size`."""
    tensors, spans = {}, []
    for name, entry in entries.items():
        tensors[name], length = _checked_tensor(name, entry, start)
        spans.append((tensors[name].offset, length))
    end = start
    for offset, length in sorted(spans):
        if offset != end:
            raise FileFormatError(
                "its tensors overlap or leave gaps: it is damaged, write it again"
            )
        end += length
    if end != size:
        raise FileFormatError(
            f"its tensors need {end} bytes, the file has {size}: it is damaged, write it again"
        )
    return tensors


def _checked_tensor(name: str, entry: object, start: int) -> tuple[TensorInfo, int]:
    """One tensor of the header, and its length in bytes."""
    match entry:
        case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [int(begin), int(end)]}:
            sizes_fit = len(shape) <= _MAX_RANK and all(
                type(n) is int and 0 <= n <= MAX_DIMENSION for n in shape
            )
            length = math.prod(shape) * _ITEM_BYTES.get(dtype, 0) if sizes_fit else 0
            if sizes_fit and dtype in _ITEM_BYTES and 0 <= begin == end - length:
                return TensorInfo(dtype, tuple(shape), start + begin), length
    raise FileFormatError(
        f"tensor {name!r}: its type, shape and data_offsets do not fit or are not supported: "
        "the file is damaged, write it again"
    )


def _is_artifact_header(header: Header) -> bool:
    return any(key.startswith(ARTIFACT_PREFIX) for key in header.metadata)


def _field(name: str) -> str:
    """Return the part of a tensor's name after the last dot: 'weight' in 'fc1.weight'."""
    return name.rpartition(".")[2]


def _check_supported(tensors: Mapping[str, TensorInfo]) -> None:
    """NetworkError that names the tensors which are no part of a fully connected layer."""
    if not tensors:
        raise NetworkError("has no tensors: save '<layer>.weight' [n_out, n_in] of each layer")
    dimensions = {"weight": 2, "bias": 1}
    foreign = [
        f"{name!r} ({info.dtype} {list(info.shape)})"
        for name, info in tensors.items()
        if info.dtype not in _NUMPY_TYPES
        or not name.isprintable()
        or dimensions.get(_field(name)) != len(info.shape)
        or (_field(name) == "bias" and name.removesuffix("bias") + "weight" not in tensors)
    ]
    if foreign:
        more = f" and {len(foreign) - 5} more" if len(foreign) > 5 else ""
        raise NetworkError(
            f"tensor {', '.join(foreign[:5])}{more}: no part of a fully connected network: "
            "save only '<layer>.weight' [n_out, n_in] and '<layer>.bias' [n_out], "
            "of type F64, F32, F16 or BF16"
        )


def _layer_order(shapes: Mapping[str, tuple[int, int]]) -> list[str]:
    """Layer names in natural order if they fit so, else in the only order in which they fit."""
    natural = sorted(shapes, key=_natural_key)
    try:
        check_chain([(name, *shapes[name]) for name in natural])
    except NetworkError as error:
        if len(natural) > _MAX_REORDERED:
            raise NetworkError(f"{error}: name the layers in order") from error
        orders = list(islice(_fitting_orders(shapes, natural), 2))
        if len(orders) != 1:
            reason = "fit in more than one order" if orders else "fit in no order"
            raise NetworkError(f"{error}; the layers {reason}: name them in order") from error
        return orders[0]
    return natural


def _fitting_orders(
    shapes: Mapping[str, tuple[int, int]], left: list[str], width: int | None = None
) -> Iterator[list[str]]:
    """Every order of `left` in which each layer takes what the one before it gives."""
    if not left:
        yield []
    for name in left:
        n_out, n_in = shapes[name]
        if width in (None, n_in):
            others = [other for other in left if other != name]
            yield from ([name, *rest] for rest in _fitting_orders(shapes, others, n_out))


def _natural_key(name: str) -> list[tuple[int, str]]:
    """Sorts numbers inside names by value: text and number alternate, so they meet their like."""
    parts = re.split(r"([0-9]+)", name)
    numbers = [part.lstrip("0") if index % 2 else part for index, part in enumerate(parts)]
    return [(len(part) if index % 2 else 0, part) for index, part in enumerate(numbers)]


def _activations(metadata: Mapping[str, str], order: list[str], stem: str) -> dict[str, Activation]:
    """Activation per layer: relu, and none at the last, unless the metadata says otherwise."""
    chosen: dict[str, Activation] = dict.fromkeys(order, "relu")
    chosen[order[-1]] = "none"
    if "activations" not in metadata:
        return chosen
    given = _parse_activations(metadata["activations"])
    _check_known(given, [name or stem for name in order])
    return {name: given.get(name or stem, chosen[name]) for name in order}


def _parse_activations(text: str) -> dict[str, Activation]:
    """Activations by layer name; Layer checks that they are known ones."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(
            f"metadata 'activations': is no JSON ({first_line(error)}): "
            'give an object such as {"fc1": "relu"}'
        ) from error
    if not isinstance(given, dict) or not all(isinstance(word, str) for word in given.values()):
        raise FileFormatError(
            'metadata \'activations\': give an object of words such as {"fc1": "relu"}'
        )
    return cast(dict[str, Activation], given)


def _check_known(given: Iterable[str], names: list[str]) -> None:
    for name in given:
        if name not in names:
            raise NetworkError(
                f"metadata 'activations': no layer {name!r}; the layers are {', '.join(names)}"
            )


def _read_tensor(path: Path, header: Header, prefix: str, field: str) -> NDArray[np.float32] | None:
    """Return a layer's tensor as float32, or None if the file has none of that name."""
    info = header.tensors.get(f"{prefix}.{field}" if prefix else field)
    if info is None:
        return None
    values = np.fromfile(
        path, _NUMPY_TYPES[info.dtype], count=math.prod(info.shape), offset=info.offset
    ).reshape(info.shape)
    if info.dtype == "BF16":  # the upper half of a float32
        return (values.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return cast(NDArray[np.float32], values)  # Layer converts, and finds what float32 cannot hold
