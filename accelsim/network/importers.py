"""One way in: a network from a file of any supported format, or from a bundled name."""

from collections.abc import Callable
from os import PathLike, fspath
from pathlib import Path

from accelsim.errors import InputError
from accelsim.network.bundled import bundled_models
from accelsim.network.files import StrPath, checked_file
from accelsim.network.layers import Network
from accelsim.network.npz import load_npz
from accelsim.network.onnx_file import load_onnx
from accelsim.network.safetensors_file import load_safetensors
from accelsim.network.spec import load_spec
from accelsim.validation import closest

LOADERS: dict[str, Callable[[StrPath], Network]] = {
    ".npz": load_npz,
    ".safetensors": load_safetensors,
    ".onnx": load_onnx,
    ".toml": load_spec,
}


def load_network(path: StrPath) -> Network:
    """Read a network from a file (.npz, .safetensors, .onnx, .toml), or a bundled one by its name.

    Raises InputError for a missing file or an unknown suffix, and what the format's importer
    raises.
    """
    path = resolve_network(path)
    loader = LOADERS.get(path.suffix.lower())
    if loader is None:
        suffix = f"'{path.suffix}'" if path.suffix else "no suffix"
        raise InputError(f"{path}: has {suffix}: give one of {', '.join(LOADERS)}")
    return loader(path)


def resolve_network(path: StrPath) -> Path:
    """Return the file that `path` means: a file itself, or else a bundled network's name.

    Raises InputError, with the bundled name that is close, if there is no such file, and for what
    is neither a path nor a name.
    """
    if not isinstance(path, str | PathLike) or not isinstance(fspath(path), str):
        raise InputError(f"{path!r}: is {type(path).__name__}: give a path or a bundled name")
    bundled = bundled_models()
    try:
        return checked_file(path)
    except InputError as error:
        if str(path) in bundled:
            return bundled[str(path)]
        hint = closest(Path(path).stem, list(bundled), "bundled networks")
        raise InputError(f"{error}{hint}") from error
