"""Deep Compression (Han et al., ICLR 2016): its Tables 1 to 5, 8 and 9, Figures 1, 9 and 10."""

from collections.abc import Callable

from accelsim.provenance import software_versions
from accelsim.study.reproduce.chapters import Chapter, Reproduction
from accelsim.study.reproduce.data import real_file
from accelsim.study.reproduce.deep_compression.checks import inconsistencies
from accelsim.study.reproduce.deep_compression.layers import layer_chapter, stages
from accelsim.study.reproduce.deep_compression.published import PAPER_NETWORKS, SOURCE, TOTAL
from accelsim.study.reproduce.deep_compression.sizes import OurNetwork, our_network
from accelsim.study.reproduce.deep_compression.table_1 import MNIST, errors_of, table_1
from accelsim.study.reproduce.deep_compression.times import (
    ENERGY,
    SPEEDUP,
    figure,
    table_8,
    table_9,
    times,
)

NOTES = (
    "Not reproduced: Figures 6 and 8 need training (accelsim analyse; "
    "reports/reference/deep_compression_trained.md has them for LeNet-300-100), Figure 7 and Table 6 need "
    "ImageNet. Figure 11 prints no numbers; Table 7 compares with other papers",
)


def reproduce_deep_compression(
    *, seed: int = 0, progress: Callable[[str, float], None] | None = None
) -> Reproduction:
    """Compute the paper's tables and figures.

    seed: of the weights that are drawn (AlexNet, VGG-16)
    progress: called with what was done, and the share of all work that is done (0 to 1)
    """
    tell = progress or (lambda _step, _share: None)
    networks = []
    for paper in PAPER_NETWORKS:
        networks.append(our_network(paper, seed))
        tell(f"{paper.title}: compressed", 0.1 * len(networks))
    images, errors = real_file(MNIST), []
    for ours in networks:
        errors.append(errors_of(ours, images))
        tell(f"{ours.paper.title}: errors", 0.4 + 0.1 * len(errors))
    chapters = (
        table_1(list(zip(networks, errors, strict=True))),
        stages(networks),
        *map(layer_chapter, networks),
        *_platforms(networks),
    )
    tell("platforms", 1.0)
    return Reproduction(
        paper="deep-compression",
        title="Deep Compression: published and ours",
        source=SOURCE,
        chapters=chapters,
        notes=NOTES
        if images
        else (*NOTES, f"No {MNIST}/ in ACCELSIM_DATA: errors are as recorded"),
        provenance={**software_versions(), "seed": seed},
    )


def _platforms(networks: list[OurNetwork]) -> tuple[Chapter, ...]:
    """Time, power and energy; and what does not fit together, for which times are needed, too."""
    data = times()
    weights = {ours.paper.name: ours.layers["n_weights"].drop(TOTAL) for ours in networks}
    return (
        figure(SPEEDUP, data),
        figure(ENERGY, data),
        table_8(data),
        table_9(data),
        inconsistencies(weights, data),
    )
