"""Labelled data to evaluate networks on: MNIST's IDX files, or arrays in an .npz file."""

import gzip
import os
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast
from zlib import error as ZlibError  # noqa: N812 (an exception, named like one)

import numpy as np

from accelsim.errors import FileFormatError, InputError
from accelsim.network.arrays import Float32, as_finite_float32
from accelsim.network.files import StrPath, checked_file, naming_file
from accelsim.network.npz import read_arrays

MAX_FILE_BYTES = 2**32
# IDX: two zero bytes, a type (8: unsigned bytes), the number of axes, then each size as a big-endian u32.
IDX_UBYTE, IDX_HEADER = 8, 4
IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
DATA = "ACCELSIM_DATA"


class Dataset(NamedTuple):
    """name; inputs: float32[examples, *shape]; labels: int64[examples]."""

    name: str
    inputs: Float32
    labels: Any

    def part(self, start: int, stop: int) -> "Dataset":
        """Examples start to stop - 1."""
        return Dataset(self.name, self.inputs[start:stop], self.labels[start:stop])


def load_dataset(source: StrPath) -> Dataset:
    """Read labelled data.

    source: `mnist` (its test set, in the folder that ACCELSIM_DATA names), a folder with the IDX files
        of MNIST's test set or of data in its form (plain or .gz; pixels are divided by 255), or an .npz
        file with arrays `inputs` and `labels`.
    Raises InputError or one of its kinds, naming the file and the remedy.
    """
    if str(source) == "mnist" and not Path(source).exists():
        source = _data_folder() / "mnist"
    path = Path(source)
    if path.is_dir():
        return _idx_dataset(path)
    if path.suffix.lower() != ".npz":
        raise InputError(f"{path}: no data: give mnist, a folder of IDX files, or an .npz file")
    arrays = read_arrays(checked_file(path))
    with naming_file(path):
        if not {"inputs", "labels"} <= arrays.keys():
            raise FileFormatError(
                f"holds {', '.join(arrays) or 'nothing'}: name two arrays 'inputs' and 'labels'"
            )
        inputs = as_finite_float32(arrays["inputs"], "array 'inputs'")
        return _checked(path.stem, inputs, arrays["labels"])


def _data_folder() -> Path:
    folder = os.environ.get(DATA)
    if not folder:
        raise InputError(
            f"data 'mnist': set {DATA} to the folder that holds mnist/, or give its path"
        )
    return Path(folder)


def _idx_dataset(folder: Path) -> Dataset:
    images, labels = (_read_idx(folder, name) for name in (IMAGES, LABELS))
    with naming_file(folder):
        if images.ndim < 2 or labels.ndim != 1:
            raise FileFormatError(
                f"{IMAGES} has shape {images.shape}, {LABELS} {labels.shape}: "
                "give images [n, ...] and labels [n]"
            )
        return _checked(folder.name, images.astype(np.float32) / np.float32(255), labels)


def _checked(name: str, inputs: Float32, labels: Any) -> Dataset:
    if labels.dtype.kind not in "iu" or labels.shape != inputs.shape[:1] or not labels.size:
        raise FileFormatError(
            f"{labels.dtype} labels {labels.shape} for inputs {inputs.shape}: "
            "give a whole number for each example, and at least one"
        )
    if labels.max() > np.iinfo(np.int64).max:
        raise FileFormatError(f"label {labels.max()} is no class: give labels from 0 on")
    return Dataset(name, inputs, labels.astype(np.int64))


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _read_idx(folder: Path, name: str) -> Any:
    """uint8 array of an IDX file, plain or gzipped; no more is unpacked than its header says."""
    plain, packed = folder / name, folder / f"{name}.gz"
    path = plain if plain.exists() else packed
    checked_file(path)
    with naming_file(path), _opened(path) as file:
        try:
            head = file.read(IDX_HEADER)
            if len(head) < IDX_HEADER or head[:3] != bytes([0, 0, IDX_UBYTE]):
                raise FileFormatError("is no IDX file of bytes: give MNIST's own files")
            sizes = np.frombuffer(file.read(4 * head[3]), dtype=">u4").astype(np.int64)
            if sizes.size != head[3] or np.prod(sizes.astype(float)) > MAX_FILE_BYTES:
                raise FileFormatError(f"claims sizes {sizes.tolist()}: it is damaged")
            content = file.read(int(sizes.prod()))
            if len(content) != sizes.prod():
                raise FileFormatError(f"ends before its {sizes.tolist()} bytes: it is truncated")
            if file.read(1):  # also makes gzip compare the checksum
                raise FileFormatError(f"goes on after its {sizes.tolist()} bytes: it is damaged")
        except (EOFError, ZlibError, gzip.BadGzipFile) as error:
            raise FileFormatError(f"is damaged ({error}): fetch it again") from None
    return np.frombuffer(content, dtype=np.uint8).reshape(sizes)
