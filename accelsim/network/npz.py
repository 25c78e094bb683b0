"""Networks and arrays from NumPy files, with every declared size checked before memory is taken."""

import math
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import error as struct_error
from typing import IO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from accelsim.errors import FileFormatError
from accelsim.network.files import LIMIT_BYTES, StrPath, checked_file, first_line, naming_file
from accelsim.network.layers import MAX_DIMENSION, Layer, Network
from accelsim.network.npz_layers import AnyArray, layer_arrays

_READ_BYTES = 16 * 2**20
_MAX_DEFLATE_RATIO = 1032  # 258 bytes from two bits: no deflate stream expands more
_MAX_NPY_HEADER = 1024  # a plain array's header has 128 bytes; the parser is not fed more than this
_HEADER_ERRORS = (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError)
# What zipfile raises for damaged archives, next to BadZipFile.
_ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    struct_error,
    EOFError,
    OSError,
    ValueError,
    NotImplementedError,
)


def load_npz(path: StrPath) -> Network:
    """Read a dense network from an .npz file.

    One layer: ``weights`` float[n_out, n_in], and optionally ``bias`` [n_out], ``activations``
    [n_in] or [batch, n_in], ``activation`` 'none', 'relu' or 'softmax' (default 'none'). The layer
    is named after the file. Several layers: the same fields as ``<layer>/weights`` or
    ``<layer>.weights``, in the order of their first appearance; `activation` is then by default
    'relu', and 'none' at the last, and ``activations`` without a layer are the first one's. Layers
    that do not fit each other are independent (`chained=False`, default activation 'none') where
    each has its own activations. Other arrays are ignored.

    Raises InputError for a file that cannot be read, FileFormatError for a damaged one,
    NetworkError for arrays that make no network.
    """
    path = Path(path)
    arrays = read_arrays(path)
    with naming_file(path):
        found = layer_arrays(arrays, "weights", path.stem)
        layers = tuple(
            Layer(name, group["weights"], group.get("bias"), found.activation(name))
            for name, group in found.layers.items()
        )
        return Network(path.stem, layers, found.activations, found.chained, source=path.name)


def read_arrays(path: StrPath, limit_bytes: int = LIMIT_BYTES) -> dict[str, AnyArray]:
    """All arrays of an .npz file by name, in its order; of at most `limit_bytes` together.

    Pickled objects are refused, and each size is compared with the archive before memory is taken.

    Raises InputError for a file that cannot be opened, FileFormatError for a damaged one.
    """
    path = checked_file(path)
    with naming_file(path), _open_archive(path) as archive:
        members = _array_members(archive, limit_bytes)
        return {name: _read_member(archive, name, info) for name, info in members.items()}


def read_array(path: StrPath, limit_bytes: int = LIMIT_BYTES) -> AnyArray:
    """Read the array of an .npy file of at most `limit_bytes`; pickled objects are refused.

    Raises InputError for a file that cannot be opened, FileFormatError for a damaged one.
    """
    path = checked_file(path, limit_bytes)
    with naming_file(path), path.open("rb") as stream:
        try:
            return _read_npy(stream, path.stat().st_size, "the array")
        except (EOFError, ValueError) as error:
            raise FileFormatError(
                f"is no intact .npy file ({first_line(error)}): write it again with numpy.save"
            ) from error


def array_names(path: StrPath) -> dict[str, None]:
    """Names of the arrays of an .npz file, in its order, from the archive's directory alone.

    The keys of a dict keep their order and can be grouped by `layer_groups`; the values are None.
    Raises InputError for a file that cannot be opened, FileFormatError for a damaged one.
    """
    path = checked_file(path)
    with naming_file(path), _open_archive(path) as archive:
        return dict.fromkeys(_array_members(archive, LIMIT_BYTES))


@contextmanager
def _open_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip archive; what zipfile raises for a damaged one becomes FileFormatError."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except _ZIP_ERRORS as error:
        raise FileFormatError(
            f"is no intact .npz archive ({first_line(error)}): write it again with numpy.savez"
        ) from error


def _array_members(archive: zipfile.ZipFile, limit_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """Return the archive's .npy members by array name, their sizes checked."""
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        if not info.filename.endswith(".npy"):
            continue
        name = info.filename.removesuffix(".npy")
        if name in members:
            raise FileFormatError(f"field {name!r}: is in the archive twice: remove one")
        if info.flag_bits & 0x1:
            raise FileFormatError(f"field {name!r}: is encrypted: write it without a password")
        if info.file_size > _MAX_DEFLATE_RATIO * info.compress_size:
            raise FileFormatError(
                f"field {name!r}: says {info.file_size} bytes, packed in {info.compress_size}: "
                "the archive is damaged, write it again"
            )
        members[name] = info
    total = sum(info.file_size for info in members.values())
    if total > limit_bytes:
        raise FileFormatError(
            f"says {total} bytes in {len(members)} arrays, the limit is {limit_bytes}: "
            "split the file"
        )
    return members


def _read_member(archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> AnyArray:
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise FileFormatError(
            f"field {name!r}: is packed by method {info.compress_type}: "
            "write it with numpy.savez or numpy.savez_compressed"
        )
    with archive.open(info) as stream:
        return _read_npy(stream, info.file_size, f"field {name!r}")


def _read_npy(stream: IO[bytes], size: int, what: str) -> AnyArray:
    """Read the array in a .npy stream of `size` bytes, in native byte order."""
    shape, fortran_order, dtype = _read_npy_header(stream, what)
    held = size - stream.tell()
    declared = math.prod(shape) * dtype.itemsize
    if declared != held:
        raise FileFormatError(
            f"{what}: shape {shape} of {dtype} needs {declared} bytes, the file has {held}: "
            "it is damaged, write it again"
        )
    raw = np.empty(declared, np.uint8)
    for part in _parts(raw):
        if stream.readinto(part) != len(part):  # type: ignore[attr-defined]  # files have it, IO not
            raise EOFError("it ends early")
    if stream.read(1):  # also makes zipfile compare the checksum
        raise EOFError("it is longer than it says")
    array = raw.view(dtype).reshape(shape[::-1] if fortran_order else shape)
    array = array.T if fortran_order else array
    return array.astype(dtype.newbyteorder("="), copy=False)


def _parts(raw: NDArray[np.uint8]) -> Iterator[memoryview]:
    """`raw` in parts, so that a stream that ends early takes little memory."""
    view = raw.data
    return (view[start : start + _READ_BYTES] for start in range(0, len(view), _READ_BYTES))


def _read_npy_header(
    stream: IO[bytes], what: str
) -> tuple[tuple[int, ...], bool, np.dtype[np.generic]]:
    """Shape, column-major order and type of a .npy stream; FileFormatError unless usable."""
    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    try:
        version = npy.read_magic(stream)
        if version not in readers:
            raise ValueError(
                f"npy version {version} is for structured types, which have no use here"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about headers of Python 2, which are as good
            shape, fortran_order, dtype = readers[version](stream, max_header_size=_MAX_NPY_HEADER)
    except _HEADER_ERRORS as error:
        raise FileFormatError(
            f"{what}: has no usable npy header ({first_line(error)}): write it again with NumPy"
        ) from error
    if dtype.hasobject:
        raise FileFormatError(
            f"{what}: holds Python objects, which are not safe to read: convert it to float32"
        )
    if dtype.itemsize == 0 or not all(0 <= size <= MAX_DIMENSION for size in shape):
        raise FileFormatError(
            f"{what}: shape {shape} of {dtype} cannot be: the file is damaged, write it again"
        )
    return shape, fortran_order, dtype
