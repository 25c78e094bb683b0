"""The one place where the options of every jitted function are set, each with its reason."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def _digest_of_kernels() -> str:
    """SHA-256 of all sources here: what machine code on disk must have been made from."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in sources)).hexdigest()


KERNELS = _digest_of_kernels()


def jit(function: F) -> F:
    """Compile `function` in nopython mode with the project's options.

    * ``cache=True``: a fresh process loads machine code from disk instead of compiling for seconds.
    * ``nogil=True``: kernels touch plain arrays only, so threads may run them side by side.
    * ``error_model="numpy"``: no division-by-zero branch in inner loops, which would stop them from
      being vectorised; no kernel divides by a value that can be zero.
    * ``fastmath`` stays off: sums keep their order, so float32 results are the same everywhere.
    """
    try:
        cached = njit(cache=True, nogil=True, error_model="numpy")(function)
    except RuntimeError:
        # Nowhere to keep machine code (read-only installation and home): compile anew each time.
        return _uncached(function)
    return cast(F, cached) if _watches_all_kernels(cached) else _uncached(function)


def _watches_all_kernels(dispatcher: Any) -> bool:
    """Have the cache forget machine code when any kernel's source has changed.

    Numba looks at the file of the outer function only, and would run a kernel of another module as it
    was when its caller was compiled. Returns False if this Numba keeps its cache in another way.
    """
    index: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if not isinstance(getattr(index, "_version", None), str):
        return False
    index._version = f"{index._version}, kernels {KERNELS}"
    return True


def _uncached(function: F) -> F:
    return cast(F, njit(nogil=True, error_model="numpy")(function))
