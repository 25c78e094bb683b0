"""What docs/baselines.md says is what the tables hold and the fit gives."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from accelsim import cli
from accelsim.baseline.calibration import calibration_errors
from accelsim.baseline.platform import platform, platform_names
from accelsim.baseline.published import published_times

PAGE = (Path(__file__).parents[3] / "docs/baselines.md").read_text(encoding="utf-8")
CPU, GPU, MOBILE = "CPU (Core i7-5930K)", "GPU (Titan X)", "mobile GPU (Tegra K1)"
LAYERS = (
    *("Alex-6", "Alex-7", "Alex-8", "VGG-6", "VGG-7", "VGG-8"),
    *("NT-We", "NT-Wd", "NT-LSTM"),
)


def rows_of(heading):
    """Cells of the table whose first line begins so."""
    lines = PAGE.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(heading))
    rows = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows


def numbers(cell):
    return [float(text.replace(",", "")) for text in re.findall(r"\d[\d.,]*\d|\d", cell)]


def time_us(system, kernel, batch, layer):
    return next(
        row.latency_us
        for row in published_times(layer, batch)
        if row.system == f"{system}, {kernel}"
    )


def test_the_machines():
    rows = rows_of("| platform | year, node |")
    assert sorted(row[0] for row in rows) == platform_names()
    for name, made, peak, memory, last, power in rows:
        machine = platform(name)
        assert made == f"{machine.chip.year}, {machine.chip.node_nm:g} nm"
        assert numbers(peak) == [pytest.approx(machine.peak.fp32_gop_per_s, abs=0.5)]
        assert numbers(memory) == [
            machine.memory.capacity_gbyte,
            machine.memory.bandwidth_gbyte_per_s,
        ]
        assert numbers(last) == [machine.cache.capacity_mbyte]
        known = [part.power_w for part in (machine.tdp, machine.idle) if part]
        assert numbers(power) == known


def test_the_kernels():
    rows = rows_of("| platform | weights | overhead |")
    assert len(rows) == 2 * len(platform_names())
    for name, kernel, overhead, bandwidth, rate, power, status in rows:
        way = platform(name).kernel(kernel)
        assert numbers(overhead) == [way.overhead_us]
        assert numbers(bandwidth) == [way.bandwidth_gbyte_per_s]
        assert numbers(rate) == [way.gop_per_s]
        assert power == f"{way.power.batch_1_w:g}, {way.power.batch_64_w:g} W"
        assert status == way.status


def test_the_errors():
    errors = calibration_errors().set_index(["platform", "kernel", "batch", "half"])
    rows = rows_of("| platform | weights | batch |")
    assert 2 * len(rows) == len(errors)
    for name, kernel, batch, *halves, power in rows:
        for half, cell in zip(("fit", "check"), halves, strict=True):
            row = errors.loc[(name, kernel, int(batch), half)]
            worst = f"{row['worst_factor']:.2f} ({row['worst_layer']})"
            assert cell == f"{row['rms_factor']:.2f}, {worst}"
        percent = errors.loc[(name, kernel, int(batch), "check"), "power_rms_pct"]
        assert power == f"{percent:.0f} %"


def test_the_summary_of_the_errors():
    errors = calibration_errors()
    seen = errors[errors["half"] == "check"]
    few, many = (seen[seen["batch"] == batch] for batch in (1, 64))
    assert few["rms_factor"].max() < 1.4
    others = many[many["platform"] != "tegra-k1"]["rms_factor"]
    assert (round(others.min(), 1), others.max() < 1.6) == (1.1, True)
    assert many[many["platform"] == "tegra-k1"]["rms_factor"].min() > 1.8


@pytest.mark.parametrize(
    ("system", "kernel", "batch", "times"),
    [
        (CPU, "dense", 1, {"Alex-8": 1134.9, "VGG-8": 774.2, "NT-We": 605.0}),
        (MOBILE, "dense", 64, {"Alex-8": 298.0, "VGG-8": 483.9}),
        (MOBILE, "dense", 64, {"Alex-7": 2056.8, "Alex-6": 1663.6, "VGG-6": 2001.4}),
        (MOBILE, "sparse", 64, {"Alex-6": 4003.9, "VGG-6": 8024.8}),
        (MOBILE, "sparse", 1, {"Alex-6": 2879.3, "VGG-6": 4377.2}),
        (GPU, "dense", 64, {"NT-Wd": 2.3, "NT-We": 3.2}),
    ],
)
def test_the_times_that_contradict_a_roofline(system, kernel, batch, times):
    for layer, expected in times.items():
        assert time_us(system, kernel, batch, layer) == expected
        assert f"{expected:g}" in PAGE


@pytest.mark.parametrize("system", [CPU, GPU])
def test_sparse_is_slower_than_dense_at_batch_64(system):
    for layer in LAYERS:
        assert time_us(system, "sparse", 64, layer) > time_us(system, "dense", 64, layer)
    name = {CPU: "i7-5930k", GPU: "titan-x"}[system]
    machine = platform(name)
    assert machine.sparse.gop_per_s / machine.dense.gop_per_s == pytest.approx(0.024, abs=5e-4)


def test_the_commands_and_the_python_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shell, python = (
        "".join(re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))
        for language in ("sh", "python")
    )
    commands = [shlex.split(line, comments=True) for line in shell.splitlines()]
    assert len(commands) == 2
    for command in commands:
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        assert leaving.value.code == 0
        assert Path(command[-1]).exists()
    exec(python, {})
