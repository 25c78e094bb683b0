import csv
import dataclasses
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from accelsim.baseline.measured.cpu import measure_cpu
from accelsim.baseline.platform import TABLES as PLATFORMS
from accelsim.baseline.platform import platform
from accelsim.baseline.published import TABLES
from accelsim.compression.artifact import save
from accelsim.compression.compressor import compress
from accelsim.errors import HardwareError, InputError, NetworkError, TechnologyError
from accelsim.hardware.dram import dram, dram_names
from accelsim.network.layers import Layer, Network
from accelsim.simulation.network import simulate
from accelsim.study.compare import compare
from accelsim.study.compared import TOTAL

SRAM, COMPRESSED, DENSE = (
    "eie-64, weights in SRAM",
    "eie-64, compressed weights from LPDDR2",
    "eie-64, dense 16-bit weights from LPDDR2",
)
PES = 4
# EIE's format and LPDDR2 as their TOML files describe them.
ROW_BYTES, ENTRIES_PER_ROW, WORDS_PER_ROW, LONGEST_RUN, POINTER_BYTES = 8, 8, 4, 15, 2
CLOCK_MHZ, PJ_PER_BIT = 800, 20
# LPDDR2: three times 8 cycles of 1.876 ns; its peak, less 86 of 2079 cycles for refresh.
LATENCY_US, BYTES_PER_US = 3 * 8 * 1.876e-3, 4264 * (1 - (70 + 8 + 8) / 2079)


@pytest.fixture(scope="module")
def tiny():
    """50 -> 170 -> 10 without biases, gaps longer than a run can say, three equal inputs."""
    rng = np.random.default_rng(0)
    layers = []
    for name, n_out, n_in in (("one", 170, 50), ("two", 10, 170)):
        kept = rng.random((n_out, n_in)) < 0.08
        weights = np.where(kept, rng.integers(1, 8, (n_out, n_in)), 0).astype(np.float32)
        layers.append(Layer(name, weights))
    return Network("tiny", tuple(layers), {"one": np.tile(rng.random(50), (3, 1))})


@pytest.fixture(scope="module")
def compared(tiny):
    return compare(compress(tiny), measure=False, pes=PES)


@pytest.fixture(scope="module")
def alexnet():
    return compare("alexnet_fc", measure=False)


def published(name):
    with (TABLES / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fixed_rows(weights):
    """Weight-SRAM rows of all PEs: entries counted one by one, padding included."""
    rows = 0
    for pe in range(PES):
        entries = 0
        for column in weights[pe::PES].T:
            gap = 0
            for value in column:
                if value:
                    entries += 1 + gap // (LONGEST_RUN + 1)
                    gap = 0
                else:
                    gap += 1
        rows += math.ceil(entries / ENTRIES_PER_ROW)
    return rows


def dense_rows(weights):
    return sum(math.ceil(weights[pe::PES].size / WORDS_PER_ROW) for pe in range(PES))


def test_dram_traffic_and_latency_from_first_principles(tiny, compared):
    for name, rows_of, pointers in ((COMPRESSED, fixed_rows, True), (DENSE, dense_rows, False)):
        for layer, row in zip(tiny.layers, compared.results[name].rows, strict=True):
            n_bytes = ROW_BYTES * rows_of(layer.weights)
            n_bytes += PES * POINTER_BYTES * (layer.n_in + 1) * pointers
            assert row["dram_bytes"] == 3 * n_bytes  # for each of three inputs
            transfer = math.ceil((LATENCY_US + n_bytes / BYTES_PER_US) * CLOCK_MHZ)
            assert row["cycles"] == max(row["array_cycles"], 3 * transfer)
    assert all(row["dram_bytes"] == 0 for row in compared.results[SRAM].rows)


def test_at_least_one_transfer_sets_the_pace(compared):
    """Else the test above would compare nothing with the transfer time."""
    for name in (COMPRESSED, DENSE):
        assert any(row["array_cycles"] < row["cycles"] for row in compared.results[name].rows)


def test_dram_energy_is_bits_times_energy_per_bit(compared):
    for name in (COMPRESSED, DENSE):
        n_bytes = sum(row["dram_bytes"] for row in compared.results[name].rows)
        energy = compared.energy.set_index(["system", "component"])["energy_uj"]
        assert energy[name, "DRAM"] == pytest.approx(8 * n_bytes * PJ_PER_BIT / 1e6 / 3)


def test_rows_are_per_inference(compared):
    table = compared.table.set_index(["system", "layer"])
    for name, result in compared.results.items():
        for row in result.rows:
            told = table.loc[(name, row["name"])]
            assert told["latency_us"] == pytest.approx(row["cycles"] / CLOCK_MHZ / 3)
            assert told["energy_uj"] == pytest.approx(row["energy_pj"] / 1e6 / 3)


def test_totals_are_sums_and_ratios_are_to_the_sram_machine(compared):
    table = compared.table
    assert compared.layer_names == ["one", "two", TOTAL]
    for what in ("latency_us", "energy_uj"):
        wide = table.pivot_table(index="system", columns="layer", values=what)
        assert (wide["one"] + wide["two"]).tolist() == pytest.approx(wide[TOTAL].tolist())
        ratios = table.pivot_table(
            index="system", columns="layer", values=what.split("_")[0] + "_ratio"
        )
        for system in (SRAM, COMPRESSED, DENSE):
            for layer in ("one", "two", TOTAL):
                expected = wide.loc[system, layer] / wide.loc[SRAM, layer]
                assert ratios.loc[system, layer] == pytest.approx(expected)
        assert (ratios.loc[SRAM] == 1).all()
        assert (ratios.loc[DENSE] > 1).all()


def test_the_energy_table_adds_up_to_the_totals(compared):
    energy = compared.energy.groupby("system")["energy_uj"].sum()
    table = compared.table.set_index(["system", "layer"])["energy_uj"]
    for name in (SRAM, COMPRESSED, DENSE):
        assert energy[name] == pytest.approx(table[name, TOTAL])


def test_the_energy_table_adds_up_where_layers_have_batches_of_their_own(tiny):
    inputs = {"one": np.ones((2, 50)), "two": np.ones((5, 170))}
    comparison = compare(compress(tiny), activations=inputs, measure=False)
    energy = comparison.energy.groupby("system")["energy_uj"].sum()
    table = comparison.table.set_index(["system", "layer"])["energy_uj"]
    for name in (SRAM, COMPRESSED, DENSE):
        assert energy[name] == pytest.approx(table[name, TOTAL])


def test_one_layer_has_no_total(tiny):
    single = replace(tiny, layers=tiny.layers[:1])
    assert compare(compress(single), measure=False).layer_names == ["one"]


def test_another_dram_is_named_and_used(tiny, compared):
    other = compare(compress(tiny), measure=False, pes=PES, dram="ddr3")
    name = "eie-64, dense 16-bit weights from DDR3"
    assert name in other.results
    energy = other.energy.set_index(["system", "component"])["energy_uj"]
    before = compared.energy.set_index(["system", "component"])["energy_uj"]
    assert energy[name, "DRAM"] == pytest.approx(before[DENSE, "DRAM"] * 70 / PJ_PER_BIT)


def test_sources_are_given_for_every_row(compared, alexnet):
    for comparison in (compared, alexnet):
        assert comparison.table["source"].str.len().min() > 10
        assert comparison.energy["source"].str.len().min() > 3


def test_progress_names_the_systems(tiny):
    told = []
    fractions = []

    def tell(what, done):
        told.append(what)
        fractions.append(done)

    compare(compress(tiny), measure=False, progress=tell)
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert fractions[-1] < 1
    assert [what for what in told if what in (SRAM, COMPRESSED, DENSE)] == [SRAM, COMPRESSED, DENSE]
    assert told[0] == SRAM
    assert {f"{SRAM}: one", f"{SRAM}: one on 64 PEs"} < set(told)


# --- sources that disagree, other DRAM, models ---


def test_energies_range_over_all_sources_of_sram_and_dram_energy(tiny, compared):
    """Each end is a run of its own: simulated here once more, one source at a time."""
    network = compress(tiny)
    table = compared.table.set_index(["system", "layer"])
    for system, fields, methods in (
        (SRAM, {}, ["per_bit"]),
        (COMPRESSED, {"weights_in": "dram"}, ["per_bit", "commands"]),
    ):
        energies = [
            simulate(network, pes=PES, technology=name, dram_energy=method, **fields).rows
            for name in ("45nm", "45nm-cacti", "45nm-horowitz")
            for method in methods
        ]
        for index, layer in enumerate(("one", "two")):
            values = [rows[index]["energy_pj"] / 1e6 / 3 for rows in energies]
            row = table.loc[(system, layer)]
            assert len(set(values)) == len(values)
            assert row["energy_low_uj"] == pytest.approx(min(values))
            assert row["energy_high_uj"] == pytest.approx(max(values))
            assert row["energy_uj"] == pytest.approx(values[0])
        for end in ("low", "high"):
            both = [table.loc[(system, layer)][f"energy_{end}_uj"] for layer in ("one", "two")]
            assert table.loc[(system, TOTAL)][f"energy_{end}_uj"] == pytest.approx(sum(both))


def test_the_machine_stands_on_every_dram_whose_energy_is_known(compared):
    kinds = {dram(name).file.stem for name in dram_names() if dram(name).energy is not None}
    kinds |= {"lpddr3"}  # by its commands alone
    systems = set(compared.table["system"])
    for name in dram_names():
        system = f"eie-64, compressed weights from {name.upper()}"
        assert (system in systems) == (name in kinds), name


def test_drams_and_platforms_can_be_chosen(tiny):
    network = compress(tiny)
    chosen = compare(network, measure=False, drams=["hbm2"], platforms=["titan-x"])
    assert list(dict.fromkeys(chosen.table["system"])) == [
        SRAM,
        COMPRESSED,
        DENSE,
        "eie-64, compressed weights from HBM2",
        "Titan X, dense (model)",
        "Titan X, sparse (model)",
    ]
    with pytest.raises(TechnologyError, match="dram 'hbm9': no such kind"):
        compare(network, measure=False, drams=["hbm9"])
    with pytest.raises(InputError, match="platform 'titan'"):
        compare(network, measure=False, platforms=["titan"])


def test_models_say_how_far_off_they_may_be(compared):
    table = compared.table.set_index(["system", "layer"])
    row = table.loc[("Titan X, dense (model)", "one")]
    factor = platform("titan-x").dense.error.batch_1_factor
    assert row["latency_low_us"] == pytest.approx(row["latency_us"] / factor)
    assert row["latency_high_us"] == pytest.approx(row["latency_us"] * factor)
    assert math.isnan(table.loc[("H200 SXM, dense (model)", "one")]["latency_low_us"])


def test_a_platform_that_is_too_small_is_named_and_left_out(tiny, tmp_path):
    text = (PLATFORMS / "tegra-k1.toml").read_text(encoding="utf-8")
    small = tmp_path / "small.toml"
    small.write_text(
        re.sub(r"capacity_gbyte = .*", "capacity_gbyte = 1e-6", text), encoding="utf-8"
    )
    chosen = compare(compress(tiny), measure=False, platforms=[str(small)])
    assert set(chosen.table["kind"]) == {"simulated"}
    assert any("do not fit" in note for note in chosen.notes)


def test_published_platforms_are_not_modelled_again(alexnet):
    models = alexnet.table[alexnet.table["kind"] == "estimate"]["system"]
    assert not models.str.contains("i7-5930K|Titan X|Tegra K1").any()
    assert models.str.contains("H200").any()


def test_powers_of_two_tables_make_a_range(alexnet):
    """Table 9 of Deep Compression: 83.5 W for AlexNet FC6, dense, on the CPU; Table V of EIE: 73 W."""
    table = alexnet.table.set_index(["system", "layer"])
    row = table.loc[("CPU (Core i7-5930K), dense", "Alex-6")]
    assert row["latency_us"] == 7516.2
    assert row["energy_uj"] == pytest.approx(7516.2 * 83.5)
    assert row["energy_high_uj"] == pytest.approx(7516.2 * 83.5)
    assert row["energy_low_uj"] == pytest.approx(7516.2 * 73)


# --- published numbers ---


def test_eies_own_times_stand_beside_ours(alexnet):
    actual = {row["layer"]: float(row["actual_us"]) for row in published("eie_layers.csv")}
    table = alexnet.table_iv
    assert table["layer"].tolist() == ["Alex-6", "Alex-7", "Alex-8"]
    assert table["published_us"].tolist() == [actual[name] for name in table["layer"]]
    sram = alexnet.results[SRAM].rows
    assert table["ours_us"].tolist() == pytest.approx([row["cycles"] / 800 for row in sram])
    ratio = table["ours_us"] / table["published_us"]
    assert table["difference_pct"].tolist() == pytest.approx((100 * ratio - 100).tolist())
    assert (table["note"] == "weights: synthetic; activations: drawn to the stated density").all()
    assert any("synthetic" in note for note in alexnet.notes)


def test_our_times_are_the_published_work_at_our_utilisation(alexnet):
    """One multiplication per PE and cycle; weights and inputs drawn to Table III's densities."""
    for row, layer in zip(alexnet.results[SRAM].rows, published("eie_layers.csv"), strict=False):
        densities = float(layer["weight_density_pct"]) * float(layer["activation_density_pct"])
        work = int(layer["n_in"]) * int(layer["n_out"]) * densities / 1e4
        ideal_us = work / 64 / CLOCK_MHZ
        assert row["latency_us"] * row["utilization_frac"] == pytest.approx(ideal_us, rel=0.03)


def test_published_times_of_every_platform_stand_in_the_table(alexnet):
    rows = [
        row
        for row in published("eie_platform_times.csv")
        if row["layer"].startswith("Alex") and row["batch"] == "1"
    ]
    table = alexnet.table[alexnet.table["kind"] == "published"]
    layers = table[table["layer"] != TOTAL]
    assert sorted(layers["latency_us"]) == sorted(float(row["time_us"]) for row in rows)
    cpu = table[table["system"] == "CPU (Core i7-5930K), dense"].set_index("layer")["latency_us"]
    assert cpu[TOTAL] == pytest.approx(cpu[["Alex-6", "Alex-7", "Alex-8"]].sum())


def test_a_network_that_nobody_published_has_no_such_rows(compared):
    assert compared.table_iv.empty
    assert list(compared.table_iv.columns) == [
        "layer", "published_us", "ours_us", "difference_pct", "note",
    ]  # fmt: skip
    assert set(compared.table["kind"]) == {"simulated", "estimate"}


# --- measurements ---


def test_a_record_stands_beside_the_machine(tiny):
    network = compress(tiny)
    record = measure_cpu(network, repetitions=3)
    comparison = compare(network, measure=False, records=[record])
    measured = comparison.table[comparison.table["kind"] == "measured"]
    assert set(measured["layer"]) == {"one", "two", TOTAL}
    for _, rows in measured.groupby("system"):
        times = rows.set_index("layer")["latency_us"]
        assert times[TOTAL] == pytest.approx(times["one"] + times["two"])


def test_a_record_of_another_network_is_refused(tiny):
    """Its layers would be summed to a total that looks like this network's."""
    record = measure_cpu(compress(tiny), repetitions=3)
    one, two = tiny.layers
    renamed = replace(tiny, layers=(one, replace(two, name="three")))
    with pytest.raises(InputError, match="of 'tiny' has layer 'two'"):
        compare(compress(renamed), measure=False, records=[record])
    resized = Network("small", (Layer("one", np.ones((3, 50), np.float32)),))
    with pytest.raises(InputError, match=r"layer 'one' \(170x50\), network 'small' does not"):
        compare(compress(resized), measure=False, records=[record])


@pytest.mark.parametrize(
    "field", [{"weights_in": "dram"}, {"overflow": "stream"}, {"decoder": "dense"}]
)
def test_what_would_make_the_first_system_another_one_is_refused(tiny, field):
    with pytest.raises(HardwareError, match=f"compare: {next(iter(field))}="):
        compare(tiny, measure=False, **field)


def test_a_layer_called_total_is_refused():
    names = ("total", "b")
    layers = tuple(Layer(name, np.ones((3, 3), np.float32)) for name in names)
    with pytest.raises(NetworkError, match="layer 'total': compare calls the sum"):
        compare(Network("net", layers), measure=False)


def test_a_table_row_says_where_weights_and_activations_come_from(tmp_path):
    """An artifact holds no activations: drawn ones must not pass for the layer's own."""
    layer = Layer("alexnet_fc8", n_out=1000, n_in=4096, weight_density=0.25, activation_density=0.4)
    network = compress(Network("net", (layer,)))
    save(network, tmp_path / "net.safetensors")
    given = {"alexnet_fc8": np.ones(4096, np.float32)}
    real = dataclasses.replace(network, provenance={"synthetic": False})

    def note(*arguments):
        return compare(*arguments, measure=False).table_iv["note"].item()

    assert note(network) == "weights: synthetic; activations: drawn to the stated density"
    assert note(tmp_path / "net.safetensors") == "weights: synthetic; activations: drawn, dense"
    assert note(network, "eie-64", given) == "weights: synthetic; activations: given"
    assert note(real) == "weights: given; activations: given"


def test_all_simulated_systems_have_memories_of_the_same_size(tiny):
    compared = compare(compress(tiny), "eie-64", measure=False, pointer_sram_bytes=16)
    sram, *others = (result.memories for result in compared.results.values())
    assert sram.grown == ("pointer",)
    for memories in others:
        assert memories.pointer_bytes == sram.pointer_bytes > 16
