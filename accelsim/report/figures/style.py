"""How pictures look, and how they reach the disk: one style, for every figure of a report."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from accelsim.errors import InputError
from accelsim.files import write_atomically

FORMATS = (".png", ".svg")
DPI = 150

# Okabe and Ito's palette, told apart by all common kinds of colour vision
# (https://jfly.uni-koeln.de/color/), and greys.
BLUE, SKY, GREEN, ORANGE, VERMILION, PURPLE = (
    "#0072B2",
    "#56B4E9",
    "#009E73",
    "#E69F00",
    "#D55E00",
    "#CC79A7",
)
INK, GREY, PALE = "#222222", "#7A7A7A", "#E3E3E3"
CYCLE = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
MARKERS = "osD^vPX<>*"
DASHES = (0, (4, 3))

# The type is Any because the keys that matplotlib knows differ between its versions.
RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.8,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "hatch.linewidth": 0.8,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.hashsalt": "accelsim",  # the same figure is the same file
}


class KindStyle(NamedTuple):
    """How the origin of a number is drawn: the hatch tells where colour does not."""

    colour: str
    hatch: str


KINDS = {
    "simulated": KindStyle(BLUE, ""),
    "measured": KindStyle(GREEN, "///"),
    "published": KindStyle(ORANGE, "..."),
    "estimate": KindStyle("#9A9A9A", "xxx"),
}
OTHER_KIND = KindStyle(PURPLE, "---")
# Marks of points, by kind.
MARKS = {"simulated": "o", "measured": "s", "published": "D", "estimate": "^"}


def kind_style(kind: str) -> KindStyle:
    """Colour and hatch of a kind of number."""
    return KINDS.get(kind, OTHER_KIND)


@contextmanager
def picture(path: Path, width: float, height: float, title: str = "") -> Iterator[Figure]:
    """Open a figure of that many inches, and write it to `path` if the block ends well.

    Raises InputError for a suffix other than .png and .svg, or a file that cannot be
    written.
    """
    path = Path(path)
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"{path}: pictures are {' or '.join(FORMATS)}: choose one of these endings"
        )
    with rc_context(RC):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        if title:
            figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        yield figure
        _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    # The temporary file has no suffix to tell the format by.
    kind = path.suffix.lower()[1:]
    # No dates and library versions: the same figure is the same file.
    metadata = {"png": {"Software": None}, "svg": {"Date": None}}[kind]
    write_atomically(
        path, lambda file: figure.savefig(file, format=kind, dpi=DPI, metadata=metadata)
    )


def legend_below(figure: Figure, handles: list[Artist]) -> None:
    """Put one legend for all panels under them, in as many columns as the width has room for."""
    if handles:
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = int(figure.get_figwidth() / (0.55 + 0.075 * longest))
        columns = max(1, min(columns, len(handles)))
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
