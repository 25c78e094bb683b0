"""The networks that this project trained: LeNets beside Deep Compression's Tables 1 to 3, character models.

Reads the committed artifacts (seed 0 in models/, the others in deep_compression/seeds/), writes
deep_compression/lenet_*.csv, characters.csv and the page deep_compression_trained.md. Run with `make
reference`; the artifacts themselves are made by models/train.py.
"""

import math
from pathlib import Path

import large_networks_page as page
import pandas as pd

import accelsim
from accelsim.study.reproduce.deep_compression.published import (
    MEASURES,
    PAPER_NETWORKS,
    TOTAL,
    published_layers,
    published_networks,
)
from accelsim.study.reproduce.deep_compression.sizes import layer_sizes

HERE = Path(__file__).parent
MODELS = HERE.parents[1] / "models"
FOLDER = HERE / "deep_compression"
PAGE = HERE / "deep_compression_trained.md"
TEMPLATE = PAGE.with_suffix(".in.md")
NETWORKS = {each.name: each.title for each in PAPER_NETWORKS if each.is_trained}
SEEDS = (0, 1, 2)
CHARACTER_MODELS = ("char-lstm", "char-gru")
RUNS = {
    "network": "{network}",
    "seed": "{seed}",
    "validation, dense": "{validation_dense_error_pct:.2f} %",
    "validation, compressed": "{validation_compressed_error_pct:.2f} %",
    "test, dense": "{dense_error_pct:.2f} %",
    "test, compressed": "{compressed_error_pct:.2f} %",
    "difference": "{difference_points:+.2f}",
    "dense": "{dense_bytes:,}",
    "stored": "{size_bytes:,}",
    "ratio": "{compression_ratio:.1f}×",
    "counted as in the paper": "{paper_compression_ratio:.1f}×",
    "file": "{file_bytes:,}",
    "of it header": "{header_bytes:,}",
}
SUMMARY = {
    "network": "{network}",
    "error, paper": "{published_dense_error_pct:g} → {published_compressed_error_pct:g} %",
    "here": "{dense_error_pct:.2f} → {compressed_error_pct:.2f} %",
    "difference, paper": "{published_difference_points:+.2f}",
    "here ": "{difference_points:+.2f} ± {difference_points_std:.2f}",
    "ratio, paper": "{published_ratio:g}×",
    "here, counted alike": "{paper_compression_ratio:.1f}×",
    "everything counted": "{compression_ratio:.1f} ± {compression_ratio_std:.1f}×",
}
LAYERS = {
    "network": "{network}",
    "layer": "{layer}",
    "weights": "{n_weights:,.0f}",
    "kept, paper": "{published_kept_pct:g} %",
    "here": "{kept_pct:.1f} %",
    "code, paper": "{published_weight_bits_pq:g} → {published_weight_bits_pqh:g}",
    "here ": "{weight_bits_pq:.1f} → {weight_bits_pqh:.1f}",
    "run, paper": "{published_index_bits_pq:g} → {published_index_bits_pqh:g}",
    "here  ": "{index_bits_pq:.1f} → {index_bits_pqh:.1f}",
    "rate, paper": "{published_rate_pqh_pct:.2f} %",
    "here   ": "{rate_pqh_pct:.2f} ± {rate_pqh_pct_std:.2f} %",
    "difference": "{difference_pct:+.0f} %",
}
CHARACTERS = {
    "network": "{network}",
    "weights": "{n_weights:,}",
    "kept": "{kept_pct:.0f} %",
    "bits per character, dense": "{dense_bits_per_character:.3f}",
    "compressed": "{compressed_bits_per_character:.3f}",
    "difference": "{difference_pct:+.1f} %",
    "stored": "{size_bytes:,}",
    "ratio": "{compression_ratio:.1f}×",
}


def artifact(name: str, seed: int) -> Path:
    """The committed artifact of a network and a seed."""
    if seed == 0:
        return MODELS / name / f"{name}.safetensors"
    return FOLDER / "seeds" / f"{name}-seed{seed}.safetensors"


def inspected() -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row per run, and a row per run and layer."""
    runs, layers = [], []
    for (name, network), seed in [(item, seed) for item in NETWORKS.items() for seed in SEEDS]:
        found = accelsim.inspect(artifact(name, seed))
        reached = found.provenance["training"]
        assert found.provenance["recipe"]["seed"] == seed
        dense, small = (reached[f"test_{which}_error_pct"] for which in ("dense", "compressed"))
        runs.append(
            {
                "network": network,
                "seed": seed,
                "dense_error_pct": dense,
                "compressed_error_pct": small,
                "difference_points": small - dense,
                "validation_dense_error_pct": reached["validation_dense_error_pct"],
                "validation_compressed_error_pct": reached["validation_compressed_error_pct"],
                "dense_bytes": found.dense_bytes,
                "size_bytes": found.size_bytes,
                "compression_ratio": found.compression_ratio,
                "paper_compression_ratio": found.paper_compression_ratio,
                "file_bytes": found.file_bytes,
                "header_bytes": found.header_bytes,
            }
        )
        layers.append(layer_sizes(found).reset_index().assign(network=network, seed=seed))
    return pd.DataFrame(runs), pd.concat(layers)


def compared_layers(layers: pd.DataFrame) -> pd.DataFrame:
    """Means and standard deviations over the seeds, beside the published rows."""
    grouped = layers.groupby(["network", "layer"], sort=False)
    mean = grouped[["n_weights", *MEASURES]].mean()
    spread = grouped[list(MEASURES)].std().add_suffix("_std")
    ours = mean.join(spread).reset_index()
    published = pd.concat(published_layers(title).reset_index() for title in NETWORKS.values())
    renamed = published.rename(columns={m: f"published_{m}" for m in MEASURES})
    joined = ours.merge(renamed, on=["network", "layer"], validate="one_to_one")
    assert len(joined) == len(ours)
    ratio = joined["rate_pqh_pct"] / joined["published_rate_pqh_pct"]
    return joined.assign(difference_pct=100 * (ratio - 1)).drop(columns="n_weights_rounded")


def compared_networks(runs: pd.DataFrame) -> pd.DataFrame:
    """Means and standard deviations over the seeds, beside the published row."""
    published = published_networks()
    measures = [c for c in runs.columns if c not in ("network", "seed")]
    grouped = runs.groupby("network", sort=False)[measures]
    ours = grouped.mean().join(grouped.std().add_suffix("_std"))
    dense, small = (
        published[f"top1_error_{which}_pct"].reindex(ours.index)
        for which in ("reference", "compressed")
    )
    return ours.assign(
        published_dense_error_pct=dense,
        published_compressed_error_pct=small,
        published_difference_points=small - dense,
        published_ratio=published["compression_ratio"].reindex(ours.index),
    ).reset_index()


def characters() -> pd.DataFrame:
    """A row per character model."""
    rows = []
    for name in CHARACTER_MODELS:
        found = accelsim.inspect(artifact(name, 0))
        reached = found.provenance["training"]
        dense, small = (reached[f"test_{x}_loss"] / math.log(2) for x in ("dense", "compressed"))
        rows.append(
            {
                "network": name,
                "n_weights": sum(layer["n_weights"] for layer in found.layers),
                "kept_pct": layer_sizes(found)["kept_pct"][TOTAL],
                "dense_bits_per_character": dense,
                "compressed_bits_per_character": small,
                "difference_pct": 100 * (small / dense - 1),
                "size_bytes": found.size_bytes,
                "compression_ratio": found.compression_ratio,
            }
        )
    return pd.DataFrame(rows)


def commands() -> str:
    """What was run for the LeNets, a line per run."""
    lines = []
    for name in NETWORKS:
        for seed in SEEDS:
            out = "" if seed == 0 else " --out reports/reference/deep_compression/seeds"
            lines.append(f"python models/train.py {name} --seed {seed}{out}")
    return "\n".join(lines)


def tables() -> dict[str, pd.DataFrame]:
    """What the CSV files hold, by name."""
    runs, layers = inspected()
    return {
        "lenet_runs": runs,
        "lenet_networks": compared_networks(runs),
        "lenet_layers": compared_layers(layers),
        "characters": characters(),
    }


def page_text(frames: dict[str, pd.DataFrame]) -> str:
    """The page: its template with the tables."""
    return TEMPLATE.read_text(encoding="utf-8").format(
        commands=commands(),
        summary=page.markdown(frames["lenet_networks"], SUMMARY),
        runs=page.markdown(frames["lenet_runs"], RUNS),
        layers=page.markdown(frames["lenet_layers"], LAYERS),
        characters=page.markdown(frames["characters"], CHARACTERS),
        character_commands="\n".join(f"python models/train.py {x}" for x in CHARACTER_MODELS),
    )


def main() -> None:
    """Write the CSV files and the page."""
    frames = tables()
    for name, frame in frames.items():
        frame.to_csv(FOLDER / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
    PAGE.write_text(page_text(frames), encoding="utf-8")


if __name__ == "__main__":
    main()
