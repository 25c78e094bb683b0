"""The papers that can be reproduced, by the names that `accelsim reproduce` takes."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from accelsim.errors import InputError
from accelsim.study.reproduce.chapters import Reproduction
from accelsim.validation import closest

# Where each one's function lives: modules are loaded when they are needed.
PAPERS = {
    "eie": ("accelsim.study.reproduce.eie.paper", "reproduce_eie"),
    "deep-compression": (
        "accelsim.study.reproduce.deep_compression.paper",
        "reproduce_deep_compression",
    ),
}


def check_paper(paper: str) -> None:
    """Raise InputError for a paper that is not known."""
    if paper not in PAPERS:
        raise InputError(
            f"paper '{paper}': cannot be reproduced{closest(paper, list(PAPERS), 'papers')}"
        )


def compute(
    paper: str, seed: int = 0, progress: Callable[[str, float], None] | None = None
) -> Reproduction:
    """Compute a paper's tables and figures. Raises InputError for a paper that is not known."""
    check_paper(paper)
    module, name = PAPERS[paper]
    function: Any = getattr(import_module(module), name)
    reproduction: Reproduction = function(seed=seed, progress=progress)
    return reproduction
