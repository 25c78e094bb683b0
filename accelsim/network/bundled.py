"""Files that come with the project: network descriptions, trained networks, activation traces."""

from pathlib import Path
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["models", "traces"]


def bundled_models() -> dict[str, Path]:
    """Networks that can be named instead of a path, by name.

    They are ``models/<name>.toml`` and ``models/<name>/<name>.safetensors``.
    """
    folder = _folder("models")
    trained = (path for path in folder.glob("*/*.safetensors") if path.stem == path.parent.name)
    return {path.stem: path for path in sorted([*folder.glob("*.toml"), *trained])}


def bundled_traces() -> dict[str, Path]:
    """Activation traces that can be named instead of a path: ``<name>.npz``."""
    return {path.stem: path for path in sorted(_folder("traces").glob("*.npz"))}


def _folder(kind: Kind) -> Path:
    """``accelsim/_bundled/<kind>`` in an installed package, ``<kind>`` at the top of a checkout."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent
    # Without the check, an installed package would look into a foreign site-packages/models.
    if not (package / "_bundled").is_dir() and (checkout / "pyproject.toml").is_file():
        return checkout / kind
    return package / "_bundled" / kind
