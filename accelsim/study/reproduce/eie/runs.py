"""EIE's nine layers, drawn to their published densities, and AlexNet FC8 as it really is."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias
from zlib import crc32

import numpy as np

from accelsim.baseline.printed import eie_layers
from accelsim.baseline.published import PublishedLayer
from accelsim.compression.loading import load
from accelsim.hardware.accelerator import Accelerator, accelerator
from accelsim.network.arrays import Float32
from accelsim.network.draw import draw_activations
from accelsim.network.layers import Layer, Network
from accelsim.simulation.counting import LayerRun, per_pe_counts
from accelsim.simulation.network import open_session
from accelsim.simulation.result import Result
from accelsim.simulation.session import Session
from accelsim.study.calibrate import pes_energy_pj
from accelsim.study.reproduce.data import real_file

Tell: TypeAlias = Callable[[str, float], None]

REAL_LAYER = "Alex-8"
REAL_FILE = "alexnet_fc8.npz"
NO_DATA = f"needs {REAL_FILE} (CONTRIBUTING.md, Real data): not at hand"
CODE_BITS = 4


class Bench(NamedTuple):
    """A layer of the paper, ready to run on any machine, and its run on EIE."""

    published: PublishedLayer
    session: Session
    result: Result

    @property
    def name(self) -> str:
        """EIE's name of the layer."""
        return self.published.name

    @property
    def energy_uj(self) -> float:
        """Energy of the PEs, as the paper counts it."""
        return pes_energy_pj(self.result) / 1e6


class Runs(NamedTuple):
    """What every chapter builds on.

    machine: EIE, 64 PEs; memories grow where a layer needs it
    benches: the nine layers, drawn; real: AlexNet FC8 with its data, or None without the file
    """

    seed: int
    machine: Accelerator
    benches: tuple[Bench, ...]
    real: Bench | None

    def bench(self, name: str) -> Bench:
        """One of the nine drawn layers."""
        return next(bench for bench in self.benches if bench.name == name)


def prepare(seed: int, tell: Tell) -> Runs:
    """Draw the nine layers and run each on EIE; the real one, too, where its file is at hand."""
    machine = accelerator("eie-64", overflow="grow")
    benches = []
    layers = eie_layers()
    for index, layer in enumerate(layers):
        tell(f"drawing {layer.name}", index / len(layers))
        session = draw_session(layer, machine, seed)
        benches.append(Bench(layer, session, session.run(machine)))
    return Runs(seed, machine, tuple(benches), _real(machine, seed))


def _real(machine: Accelerator, seed: int) -> Bench | None:
    path = real_file(REAL_FILE)
    if path is None:
        return None
    layer = next(layer for layer in eie_layers() if layer.name == REAL_LAYER)
    session = open_session(load(path), None, machine, seed=seed)
    return Bench(layer, session, session.run(machine))


def draw_session(
    layer: PublishedLayer,
    machine: Accelerator,
    seed: int,
    *,
    weight_density: float | None = None,
    activation_density: float | None = None,
) -> Session:
    """Draw a layer to its published densities, or to others.

    Weights are kept each by itself. Of the activations exactly the published share is not zero, which is what
    Table III prints: shares that were counted. Drawn each by itself, they would differ by some 2 %.
    """
    drawn = Layer(
        layer.name,
        n_out=layer.n_out,
        n_in=layer.n_in,
        weight_density=weight_density or layer.weight_density_frac,
    )
    network = Network(layer.name, (drawn,), chained=False)
    share = activation_density or layer.activation_density_frac
    return open_session(network, active_inputs(layer, share, seed), machine, seed=seed)


def active_inputs(layer: PublishedLayer, share: float, seed: int) -> Float32:
    """float32[n_in] of which exactly `share`, rounded to a whole number, is not zero."""
    values = draw_activations(layer.name, layer.n_in, 1.0, seed)
    order = np.random.default_rng([seed, crc32(layer.name.encode()), 2]).permutation(layer.n_in)
    values[order[round(share * layer.n_in) :]] = 0.0
    return values


def run_layer(session: Session, machine: Accelerator) -> LayerRun:
    """Run a session's only layer, without energy: some machines of a sweep are outside every table."""
    placed, flow = session.place(machine), session.values(machine)
    (name,) = session.layers
    return session.layer_run(name, machine, placed, flow)


def measures(ran: LayerRun, machine: Accelerator) -> dict[str, Any]:
    """What a run took, and where the cycles of its PEs went, summed over PEs; the bias is in.

    work_us: time of all entries, padding included, were they spread evenly over the PEs
    """
    counts = {name: int(values.sum()) for name, values in per_pe_counts(ran).items()}
    cycles = int(ran.run.cycles.sum())
    return {
        "cycles": cycles,
        "time_us": cycles * machine.cycle_us,
        "work_us": counts["entries"] * machine.cycle_us / machine.pes,
        "stall_cycles": ran.run.stall_cycles,
        **counts,
    }


def operations(ran: LayerRun) -> int:
    """Multiplications by weights other than zero, without the bias."""
    layer = ran.layer
    per_column = np.diff(layer.sparse.col_ptr[: layer.n_in + 1])
    return int(per_column @ ran.run.broadcast_counts[: layer.n_in])


def active_frac(ran: LayerRun) -> float:
    """Fraction of the inputs that are not zero."""
    return float((ran.run.broadcast_counts[: ran.layer.n_in] > 0).mean())
