"""Labelled data to train and evaluate networks on: MNIST's IDX files, or arrays in an .npz file."""

import gzip
import os
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeAlias, cast
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
TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
DATA = "ACCELSIM_DATA"

Part: TypeAlias = Literal["test", "train"]


class _Names(NamedTuple):
    """What a part of the data is called: two IDX files, or two arrays of an .npz file."""

    images: str
    image_labels: str
    inputs: str
    labels: str


PARTS: dict[Part, _Names] = {
    "test": _Names(IMAGES, LABELS, "inputs", "labels"),
    "train": _Names(TRAIN_IMAGES, TRAIN_LABELS, "train_inputs", "train_labels"),
}


class Dataset(NamedTuple):
    """name; inputs: float32[examples, *shape]; labels: int64[examples]."""

    name: str
    inputs: Float32
    labels: Any

    def part(self, start: int, stop: int) -> "Dataset":
        """Examples start to stop - 1."""
        return Dataset(self.name, self.inputs[start:stop], self.labels[start:stop])


def load_dataset(source: StrPath, part: Part = "test") -> Dataset:
    """Read labelled data, to test a network on or to train it with.

    source: `mnist` (in the folder that ACCELSIM_DATA names), a folder with the IDX files of MNIST or of
        data in its form (plain or .gz; pixels are divided by 255), or an .npz file with arrays `inputs`
        and `labels` (the test part), and `train_inputs` and `train_labels` (the train part)
    part: `test` or `train`; only its files or arrays have to be there
    Raises InputError or one of its kinds, naming the file and the remedy.
    """
    if part not in PARTS:
        raise InputError(f"part '{part}': no such part of a data set: give test or train")
    names = PARTS[part]
    if str(source) == "mnist" and not Path(source).exists():
        source = _data_folder() / "mnist"
    path = Path(source)
    if path.is_dir():
        return _idx_dataset(path, names)
    if path.suffix.lower() != ".npz":
        raise InputError(f"{path}: no data: give mnist, a folder of IDX files, or an .npz file")
    arrays = read_arrays(checked_file(path))
    with naming_file(path):
        if not {names.inputs, names.labels} <= arrays.keys():
            raise FileFormatError(
                f"holds {', '.join(arrays) or 'nothing'}: name two arrays '{names.inputs}' and "
                f"'{names.labels}'"
            )
        inputs = as_finite_float32(arrays[names.inputs], f"array '{names.inputs}'")
        return _checked(path.stem, inputs, arrays[names.labels])


def _data_folder() -> Path:
    folder = os.environ.get(DATA)
    if not folder:
        raise InputError(
            f"data 'mnist': set {DATA} to the folder that holds mnist/, or give its path"
        )
    return Path(folder)


def _idx_dataset(folder: Path, names: _Names) -> Dataset:
    images, labels = (_read_idx(folder, name) for name in (names.images, names.image_labels))
    with naming_file(folder):
        if images.ndim < 2 or labels.ndim != 1:
            raise FileFormatError(
                f"{names.images} has shape {images.shape}, {names.image_labels} {labels.shape}: "
                "give images [n, ...] and labels [n]"
            )
        inputs = images.astype(np.float32)
        inputs /= np.float32(255)
        return _checked(folder.name, inputs, labels)


def _checked(name: str, inputs: Float32, labels: Any) -> Dataset:
    fits = labels.ndim == 1 and labels.shape == inputs.shape[:1]
    if labels.dtype.kind not in "iu" or not fits or not labels.size:
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
