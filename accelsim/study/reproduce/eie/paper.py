"""EIE (Han et al., ISCA 2016): its tables and figures, published and ours."""

from collections.abc import Callable

from accelsim.provenance import software_versions
from accelsim.study.reproduce.chapters import Chapter, Reproduction
from accelsim.study.reproduce.eie import chip
from accelsim.study.reproduce.eie.claims import abstract, inconsistencies
from accelsim.study.reproduce.eie.layers import cycles, table_iii, table_iv, theory
from accelsim.study.reproduce.eie.runs import NO_DATA, REAL_LAYER, Runs, Tell, prepare
from accelsim.study.reproduce.eie.sweeps import (
    figure_8,
    figure_9,
    figure_11,
    figure_12,
    figure_13,
    scaling,
)
from accelsim.study.reproduce.eie.systems import figure_6, figure_7, platform_times, table_v
from accelsim.study.reproduce.eie.unevenness import trained_spreads, unevenness

TITLE = "EIE: Efficient Inference Engine on Compressed Deep Neural Network"
SOURCE = "Han et al., EIE, ISCA 2016, arXiv:1602.01528v2"


def reproduce_eie(
    seed: int = 0, progress: Callable[[str, float], None] | None = None
) -> Reproduction:
    """Compute every table and figure of the paper that a simulator can; half a minute on two cores.

    seed: of the layers that are drawn. progress: called with what is being done, and the fraction done
    """
    tell = progress or (lambda _what, _done: None)
    runs = prepare(seed, _part(tell, 0.0, 0.15))
    notes = ["weights and activations of the nine layers are synthetic: drawn from a seed"]
    if runs.real is None:
        notes.append(f"{REAL_LAYER} with its real data {NO_DATA}")
    return Reproduction(
        paper="eie",
        title=TITLE,
        source=SOURCE,
        chapters=tuple(_chapters(runs, tell)),
        notes=tuple(notes),
        provenance=software_versions() | {"seed": seed, "machine": runs.machine.model_dump()},
    )


def _chapters(runs: Runs, tell: Tell) -> list[Chapter]:
    tell("tables", 0.15)
    chapters = [abstract(runs), *chip.chapters(runs), table_iii(runs)]
    chapters += [table_iv(runs, _part(tell, 0.15, 0.5)), theory(runs), cycles(runs)]
    chapters += [unevenness(runs, _part(tell, 0.5, 0.7)), trained_spreads()]
    chapters += [platform_times(runs), table_v(runs), figure_6(runs), figure_7(runs)]
    chapters += [
        figure_8(runs, _part(tell, 0.7, 0.8)),
        figure_9(runs, _part(tell, 0.8, 0.85)),
    ]
    scaled = scaling(runs, _part(tell, 0.85, 1.0))
    chapters += [figure_11(runs, scaled), figure_12(scaled), figure_13(scaled)]
    return [*chapters, inconsistencies()]


def _part(tell: Tell, start: float, end: float) -> Tell:
    """Progress of one part, within that of all."""
    return lambda what, done: tell(what, start + (end - start) * done)
