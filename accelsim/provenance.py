"""Which software made a result."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version

from accelsim._version import __version__


def software_versions() -> dict[str, str]:
    """Versions of accelsim, Python and the libraries that numbers depend on."""
    return dict(_versions())


@cache
def _versions() -> dict[str, str]:
    versions = {"accelsim": __version__, "python": platform.python_version()}
    for package in ("numpy", "numba"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # run from a source tree without its metadata
            versions[package] = "unknown"
    return versions
