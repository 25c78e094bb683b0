"""Numbers from outside: checked before anything is computed with them."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from accelsim.errors import NetworkError

Float32: TypeAlias = NDArray[np.float32]


def as_finite_float32(values: object, what: str) -> Float32:
    """`values` as a contiguous, writeable float32 array, a copy only where it has to be.

    Read-only arrays are another type to Numba: each kernel would be compiled once more for them.
    Raises NetworkError for anything but real numbers, and for NaN and infinite values.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "fiu":
        raise NetworkError(f"{what}: has type {array.dtype}: give real numbers")
    # A signalling NaN in a damaged file sets "invalid"; it is reported below, with its place.
    with np.errstate(over="ignore", invalid="ignore"):
        array = np.require(array, np.float32, ["C_CONTIGUOUS", "WRITEABLE"])
    # A sum is NaN or infinite if any value is: it is checked at memory speed.
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not np.isfinite(array.sum(dtype=np.float64))
    if suspicious:
        bad = np.flatnonzero(~np.isfinite(array))
        if bad.size:
            where = tuple(int(i) for i in np.unravel_index(bad[0], array.shape))
            raise NetworkError(
                f"{what}: {bad.size} of {array.size} values are NaN, infinite or beyond float32 "
                f"(first at {where}): repair the file"
            )
    return array
