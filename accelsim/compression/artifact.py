"""The compressed network as one `.safetensors` file that is verified in full before it is used.

Layout (schema 1): per layer ``NAME/codebook`` f32[2**code_bits], ``NAME/lengths`` u8 (4-bit Huffman
code lengths of codes, then of runs, two per byte, low nibble first), ``NAME/segments`` u64[3] (first
bit of segments 1 to 3), ``NAME/stream`` u8 (code and run symbols, MSB first), ``NAME/bias`` f32[n_out]
if the bias is kept exactly. The file's metadata holds a JSON manifest: what each layer is, and dtype,
shape and SHA-256 of each tensor; and the manifest's own SHA-256. Equal networks make equal
files, byte for byte.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from accelsim.compression.huffman import (
    MAX_CODE_LENGTH,
    SEGMENTS,
    HuffmanTable,
    decode_stream,
    stream_from_payload,
)
from accelsim.compression.layer import (
    CompressedLayer,
    CompressedNetwork,
    StoredLayer,
    decoded_sparse,
)
from accelsim.compression.sparse import UInt8
from accelsim.errors import FileFormatError, InputError
from accelsim.files import write_atomically
from accelsim.network.graph import Graph
from accelsim.network.layers import MAX_DIMENSION, Activation
from accelsim.validation import first_problem

_DTYPES = {"float32": "F32", "uint8": "U8", "uint64": "U64"}
# 2 adds `graph` and `constants`; a network of fully connected layers in a row is still written as 1.
SCHEMA, GRAPH_SCHEMA = "1", "2"
SCHEMA_KEY = "accelsim.schema"
MANIFEST_KEY = "accelsim.manifest"
DIGEST_KEY = "accelsim.sha256"
# A Huffman pair takes at least 2 bits, so a stream cannot hold more pairs than half its bits.
MIN_PAIR_BITS = 2
# Rows and columns of all layers together: a few bytes of a file can claim any number of empty ones,
# and each takes memory (512 MiB of column pointers here).
MAX_ROWS_AND_COLUMNS = 2**26


class _Tensor(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    dtype: str
    shape: list[int]
    sha256: str


class _Layer(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    n_out: int = Field(gt=0, le=MAX_DIMENSION)
    n_in: int = Field(gt=0, le=MAX_DIMENSION)
    activation: Activation
    code_bits: int = Field(ge=1, le=8)
    index_bits: int = Field(ge=1, le=8)
    max_code_length: int = Field(ge=1, le=MAX_CODE_LENGTH)
    bias_coded: bool
    n_entries: int = Field(ge=0)
    stream_bits: int = Field(ge=0)
    tensors: dict[str, _Tensor]


class _Manifest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    chained: bool
    provenance: dict[str, Any]
    layers: list[_Layer]


class _GraphManifest(_Manifest):
    graph: Graph
    constants: dict[str, _Tensor]


def save(network: CompressedNetwork, path: str | Path) -> Path:
    """Write the artifact (activations are not part of it) and return its path.

    The file appears complete or not at all. Raises InputError if it cannot be written, or if the
    network is one that `load_artifact` would refuse.
    """
    path = Path(path)
    if not isinstance(network, CompressedNetwork):
        raise InputError(f"{path}: only a compressed network can be saved: compress it first")
    if path.suffix != ".safetensors":
        raise InputError(f"{path}: an artifact's name ends in .safetensors: rename it")
    try:
        _check_dimensions(network.layers)
    except InputError as error:
        raise InputError(f"{path}: cannot write: {error}") from None
    tensors: dict[str, Any] = {}
    layers = []
    for layer in network.layers:
        parts = _layer_tensors(layer)
        tensors |= {f"{layer.name}/{part}": array for part, array in parts.items()}
        layers.append(_describe(layer, parts))
    constants = network.flow.constants
    tensors |= {_constant(name): array for name, array in constants.items()}
    schema = SCHEMA if network.graph is None else GRAPH_SCHEMA
    try:
        manifest = _manifest(network, layers).model_dump_json()
    except ValueError as error:  # pydantic's, for what JSON or UTF-8 cannot hold
        line = " ".join(str(error).split())
        raise InputError(f"{path}: cannot write: name or provenance: {line}") from None
    metadata = {
        SCHEMA_KEY: schema,
        MANIFEST_KEY: manifest,
        DIGEST_KEY: _digest(schema.encode() + manifest.encode()),
    }
    content = _safetensors(tensors, metadata)
    write_atomically(path, lambda temporary: _write(temporary, content))
    return path


def _manifest(network: CompressedNetwork, layers: list[_Layer]) -> _Manifest:
    manifest = _Manifest(
        name=network.name,
        chained=network.chained,
        provenance=dict(network.provenance),
        layers=layers,
    )
    if network.graph is None:
        return manifest
    constants = {name: _fingerprint(array) for name, array in network.flow.constants.items()}
    return _GraphManifest(**dict(manifest), graph=network.graph, constants=constants)


def _constant(name: str) -> str:
    """The tensor of a constant; no part of a layer is called so."""
    return f"{name}/constant"


def _safetensors(tensors: dict[str, Any], metadata: dict[str, str]) -> list[bytes]:
    """A .safetensors file in parts. The library writes metadata in an order that differs each time."""
    names = sorted(tensors, key=lambda name: (-tensors[name].itemsize, name))  # aligns them all
    header: dict[str, Any] = {"__metadata__": metadata}
    end = 0
    for name in names:
        array = tensors[name]
        start, end = end, end + array.nbytes
        header[name] = {
            "dtype": _DTYPES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": (start, end),
        }
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little"), text, *(tensors[name].tobytes() for name in names)]


def _write(path: Path, parts: list[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(parts)


def load_artifact(path: str | Path) -> CompressedNetwork:
    """Read an artifact, check every tensor against the manifest, and decode it.

    Raises FileFormatError, naming the file and what is wrong in it, before anything is used.
    """
    path = Path(path)
    tensors, metadata = _read_file(path)
    manifest = _read_manifest(path, metadata)
    graph, described = None, {}
    if isinstance(manifest, _GraphManifest):
        graph, described = manifest.graph, manifest.constants
    wanted = {f"{layer.name}/{part}" for layer in manifest.layers for part in layer.tensors}
    wanted |= {_constant(name) for name in described}
    if wanted != set(tensors):
        odd = sorted(wanted ^ set(tensors))[0]
        raise _damaged(path, f"tensor '{odd}' is not both in the file and in its manifest")
    layers = []
    try:
        _check_dimensions(manifest.layers)
    except InputError as error:
        raise _damaged(path, str(error)) from None
    for layer in manifest.layers:
        parts = {part: tensors[f"{layer.name}/{part}"] for part in layer.tensors}
        try:
            layers.append(_rebuild(layer, parts))
        except (InputError, ValueError) as error:
            raise _damaged(path, f"layer '{layer.name}': {error}") from None
    constants = {name: tensors[_constant(name)] for name in described}
    for name, array in constants.items():
        if array.dtype != np.float32 or _fingerprint(array) != described[name]:
            raise _damaged(path, f"constant '{name}' does not match its checksum")
    try:
        return CompressedNetwork(
            manifest.name,
            tuple(layers),
            chained=manifest.chained,
            provenance=manifest.provenance,
            graph=graph,
            constants=constants,
        )
    except InputError as error:
        raise _damaged(path, str(error)) from None


def _layer_tensors(layer: CompressedLayer) -> dict[str, Any]:
    stored = layer.stored
    parts: dict[str, Any] = {
        "codebook": layer.codebook,
        "lengths": _pack_nibbles(
            np.concatenate([stored.code_table.lengths, stored.run_table.lengths])
        ),
        "segments": stored.stream.starts[1:].astype(np.uint64),
        "stream": stored.stream.payload,
    }
    if layer.bias is not None:
        parts["bias"] = layer.bias
    return parts


def _describe(layer: CompressedLayer, parts: dict[str, Any]) -> _Layer:
    return _Layer(
        name=layer.name,
        n_out=layer.n_out,
        n_in=layer.n_in,
        activation=layer.activation,
        code_bits=layer.code_bits,
        index_bits=layer.index_bits,
        max_code_length=layer.max_code_length,
        bias_coded=layer.bias_coded,
        n_entries=layer.stored.stream.n_pairs,
        stream_bits=layer.stored.stream.n_bits,
        tensors={part: _fingerprint(array) for part, array in parts.items()},
    )


def _fingerprint(array: Any) -> _Tensor:
    return _Tensor(dtype=str(array.dtype), shape=list(array.shape), sha256=_digest(array.tobytes()))


def _rebuild(layer: _Layer, parts: dict[str, Any]) -> CompressedLayer:
    """A layer from its verified tensors. Raises InputError where they contradict each other."""
    _check_parts(layer, parts)
    for part, array in parts.items():
        if _fingerprint(array) != layer.tensors[part]:
            raise InputError(f"tensor '{part}' does not match its checksum")
    n_codes, n_runs = 2**layer.code_bits, 2**layer.index_bits
    _expect(parts["codebook"], "codebook", np.float32, (n_codes,))
    _expect(parts["lengths"], "lengths", np.uint8, ((n_codes + n_runs + 1) // 2,))
    _expect(parts["segments"], "segments", np.uint64, (SEGMENTS - 1,))
    _expect(parts["stream"], "stream", np.uint8, ((layer.stream_bits + 7) // 8,))
    if "bias" in parts:
        _expect(parts["bias"], "bias", np.float32, (layer.n_out,))
    if layer.n_entries * MIN_PAIR_BITS > layer.stream_bits:
        raise InputError(f"n_entries={layer.n_entries} do not fit {layer.stream_bits} bits")
    _check_values(parts)
    lengths = _unpack_nibbles(parts["lengths"], n_codes + n_runs)
    codes, runs = HuffmanTable(lengths[:n_codes]), HuffmanTable(lengths[n_codes:])
    if max(codes.longest, runs.longest) > layer.max_code_length:
        raise InputError(f"a Huffman word is longer than max_code_length={layer.max_code_length}")
    starts = np.concatenate([[0], parts["segments"].astype(np.int64)])
    if (np.diff(starts) < 0).any() or starts[-1] > layer.stream_bits:
        raise InputError("segments do not lie within the stream")
    stream = stream_from_payload(parts["stream"], starts, layer.stream_bits, layer.n_entries)
    code, run = decode_stream(stream, codes, runs)
    rebuilt = CompressedLayer(
        name=layer.name,
        n_out=layer.n_out,
        n_in=layer.n_in,
        activation=layer.activation,
        codebook=parts["codebook"],
        sparse=decoded_sparse(code, run, layer.n_out, layer.n_in + int(layer.bias_coded)),
        bias_coded=layer.bias_coded,
        bias=parts.get("bias"),
        code_bits=layer.code_bits,
        index_bits=layer.index_bits,
        max_code_length=layer.max_code_length,
    )
    # The stream is at hand; let nobody encode it again.
    rebuilt.__dict__["stored"] = StoredLayer(codes, runs, stream)
    return rebuilt


def _check_dimensions(layers: Sequence[_Layer | CompressedLayer]) -> None:
    claimed = sum(layer.n_out + layer.n_in for layer in layers)
    if claimed > MAX_ROWS_AND_COLUMNS:
        raise InputError(
            f"n_out and n_in of all layers add up to {claimed}, "
            f"more than the {MAX_ROWS_AND_COLUMNS} that an artifact may have"
        )


def _check_parts(layer: _Layer, parts: dict[str, Any]) -> None:
    wanted = {"codebook", "lengths", "segments", "stream"}
    if "bias" in parts and not layer.bias_coded:
        wanted.add("bias")
    if wanted != set(parts):
        odd = sorted(wanted ^ set(parts))[0]
        raise InputError(f"tensor '{odd}' is missing or one too many")


def _check_values(parts: dict[str, Any]) -> None:
    for part in ("codebook", "bias"):
        if part in parts and not np.isfinite(parts[part]).all():
            raise InputError(f"tensor '{part}' holds NaN or infinite values")
    if parts["codebook"][0] != 0.0:
        raise InputError("code 0 of the codebook is not 0.0")


def _expect(array: Any, part: str, dtype: Any, shape: tuple[int, ...]) -> None:
    if array.dtype != dtype or array.shape != shape:
        raise InputError(
            f"tensor '{part}' is {array.dtype}{list(array.shape)}, "
            f"the manifest needs {np.dtype(dtype)}{list(shape)}"
        )


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from None
    except (SafetensorError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(path, f"not a readable safetensors file: {error}") from None
    return tensors, metadata


def _read_manifest(path: Path, metadata: dict[str, str]) -> _Manifest:
    schema = metadata.get(SCHEMA_KEY)
    if schema is None:
        raise FileFormatError(
            f"{path}: metadata '{SCHEMA_KEY}' is missing: this is not an artifact of `accelsim compress`"
        )
    if schema not in (SCHEMA, GRAPH_SCHEMA):
        raise FileFormatError(
            f"{path}: schema {schema!r} is not known (this version reads {SCHEMA} and "
            f"{GRAPH_SCHEMA}): update accelsim or compress the network again"
        )
    kind = _Manifest if schema == SCHEMA else _GraphManifest
    manifest = metadata.get(MANIFEST_KEY, "")
    if metadata.get(DIGEST_KEY) != _digest(schema.encode() + manifest.encode()):
        raise _damaged(path, "the manifest does not match its checksum")
    if set(metadata) != {SCHEMA_KEY, MANIFEST_KEY, DIGEST_KEY}:
        raise _damaged(path, "the metadata holds unknown keys")
    try:
        return kind.model_validate_json(manifest)
    except ValidationError as error:
        raise _damaged(path, f"manifest: {first_problem(error, list(kind.model_fields))}") from None


def _damaged(path: Path, what: str) -> FileFormatError:
    line = " ".join(what.split())
    return FileFormatError(f"{path}: damaged artifact: {line}: compress the network again")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _pack_nibbles(lengths: UInt8) -> UInt8:
    padded = np.append(lengths, np.zeros(lengths.size % 2, dtype=np.uint8))
    return (padded[0::2] | (padded[1::2] << np.uint8(4))).astype(np.uint8)


def _unpack_nibbles(packed: UInt8, n: int) -> UInt8:
    lengths = np.empty(packed.size * 2, dtype=np.uint8)
    lengths[0::2] = packed & np.uint8(15)
    lengths[1::2] = packed >> np.uint8(4)
    return lengths[:n]
