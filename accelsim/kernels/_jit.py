"""The one place where the options of every jitted function are set, each with its reason."""

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

F = TypeVar("F", bound=Callable[..., Any])


def jit(function: F) -> F:
    """Compile `function` in nopython mode with the project's options.

    * ``cache=True``: a fresh process loads machine code from disk instead of compiling for seconds.
    * ``nogil=True``: kernels touch plain arrays only, so threads may run them side by side.
    * ``error_model="numpy"``: no division-by-zero branch in inner loops, which would stop them from
      being vectorised; no kernel divides by a value that can be zero.
    * ``fastmath`` stays off: sums keep their order, so float32 results are the same everywhere.
    """
    try:
        return cast(F, njit(cache=True, nogil=True, error_model="numpy")(function))
    except RuntimeError:
        # Nowhere to keep machine code (read-only installation and home): compile anew each time.
        return cast(F, njit(nogil=True, error_model="numpy")(function))
