"""Running CACTI: a program that answers in CACTI's form stands for it, and for what goes wrong."""

import re
import sys

import pytest

from accelsim.errors import TechnologyError
from accelsim.hardware import cacti
from accelsim.hardware.cacti import least_capacity, sram_from_cacti
from accelsim.hardware.technology import TABLES, technology

# As CACTI 7 writes it: names with spaces, a comma at the end of each line.
NAMES = (
    "Tech node (nm), Capacity (bytes), Number of banks, Associativity, Output width (bits), "
    "Access time (ns), Random cycle time (ns), Dynamic search energy (nJ), Dynamic read energy (nJ), "
    "Dynamic write energy (nJ), Standby leakage per bank(mW), Area (mm2), Ndwl, "
)
# Echoes what it was asked as node, capacity and width; energies follow from them, and from a count.
ANSWERING = f"""#!{sys.executable}
import pathlib, re, sys
path = pathlib.Path(sys.argv[sys.argv.index("-infile") + 1])
text = path.read_text()
asked = {{key: float(value) for key, value in re.findall(r"^-(.+?) ([0-9.e+-]+)$", text, re.M)}}
size, width = asked["size (bytes)"], asked["output/input bus width"]
assert asked["block size (bytes)"] * 8 == width
assert pathlib.Path("tech_params").is_dir(), "CACTI reads its tables from where it stands"
with open("calls", "a") as calls:
    calls.write("x")
names = {NAMES!r}
row = f"45, {{size:g}}, 1, 1, {{width:g}}, 2.0, 1.5, N/A, {{size / 1e6}}, {{width / 1e3}}, 0.25, 0.5, 2, "
path.with_name(path.name + ".out").write_text(names + "\\n" + row + "\\n")
print("Cache Parameters:")
"""
ROW = "45, 131072, 1, 1, 64, 2.1132, 1.65095, N/A, 0.0322859, 0.026065, 0.00334055, 0.429589, 2, "


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Make a program CACTI's executable."""

    def write(text, name="cacti"):
        folder = tmp_path / "installed"
        (folder / "tech_params").mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_text(text, encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setenv("ACCELSIM_CACTI", str(path))
        return path

    yield write
    cacti._computed.cache_clear()


def program(*lines):
    """A program whose result file is `OUT`."""
    start = f"#!{sys.executable}\nimport sys\nOUT = sys.argv[2] + '.out'\n"
    return start + "\n".join(lines) + "\n"


def answer(row, names=NAMES):
    return program(f"open(OUT, 'w').write({names!r} + '\\n' + {row!r} + '\\n')")


def test_an_answer_of_cacti_in_our_units(install):
    """CACTI 7's own row for 128 KB x 64 bits in 45 nm: nJ become pJ."""
    install(answer(ROW))
    macro = sram_from_cacti(45, 131_072, 64)
    assert macro[:7] == pytest.approx((131_072, 64, 32.2859, 26.065, 0.00334055, 0.429589, 1.65095))
    assert macro.source == "CACTI, run here: 131072 bytes x 64 bits at 45 nm"


def test_what_is_asked_is_what_is_needed(install):
    install(ANSWERING)
    macro = sram_from_cacti(45, 100_000, 72)
    assert macro.read_energy_pj == pytest.approx(100.0)  # 100,000 / 1e6 nJ
    assert macro.write_energy_pj == pytest.approx(72.0)
    assert (macro.capacity_bytes, macro.width_bits) == (100_000, 72)


def test_the_question_states_node_and_settings():
    question = cacti._question(28, 4096, 8)
    assert question.startswith(cacti.SETTINGS.read_text(encoding="utf-8"))
    assert question.endswith(
        "-size (bytes) 4096\n-block size (bytes) 8\n-output/input bus width 64\n-technology (u) 0.028\n"
    )
    assert '"itrs-lstp"' in question


def test_odd_widths_and_small_srams_are_built_larger(install):
    install(ANSWERING)
    macro = sram_from_cacti(45, 10, 12)  # words of two bytes, of which it has no fewer than 32
    assert (macro.capacity_bytes, macro.width_bits) == (10, 12)
    assert macro.write_energy_pj == pytest.approx(16)
    assert macro.read_energy_pj == pytest.approx(64e-3)
    assert "64 bytes x 16 bits" in macro.source
    assert [least_capacity(width) for width in (1, 8, 16, 17, 64, 512)] == [
        64,
        64,
        64,
        96,
        256,
        2048,
    ]


def test_cacti_is_run_once_for_each_sram(install):
    calls = install(ANSWERING).with_name("calls")
    for capacity in (4096, 8192, 4096):
        sram_from_cacti(45, capacity, 32)
    assert calls.read_text(encoding="utf-8") == "xx"


def test_an_executable_on_the_path_is_found(install, monkeypatch):
    path = install(answer(ROW))
    monkeypatch.delenv("ACCELSIM_CACTI")
    monkeypatch.setenv("PATH", str(path.parent))
    assert sram_from_cacti(45, 131_072, 64).area_mm2 == pytest.approx(0.429589)


def test_a_technology_may_take_its_srams_from_cacti(install, tmp_path):
    install(ANSWERING)
    text = (TABLES / "45nm.toml").read_text(encoding="utf-8")
    assert text.count('sram = "sram_cacti.csv"') == 1
    path = tmp_path / "own.toml"
    path.write_text(text.replace('sram = "sram_cacti.csv"', 'sram = "cacti"'), encoding="utf-8")
    own = technology(str(path))
    macro = own.sram_macro(2**24, 1024)  # beyond the grid
    assert macro.source.startswith("CACTI, run here: 16777216 bytes x 1024 bits at 45 nm")
    assert macro.cycle_time_ns == pytest.approx(1.5)
    assert own.least_sram_bytes(64) == 256
    assert own.sram_table == cacti.SETTINGS


# --- what goes wrong ends in one line ---


def test_without_cacti_the_remedy_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("ACCELSIM_CACTI", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TechnologyError, match="no executable 'cacti' on the path: install CACTI"):
        sram_from_cacti(45, 4096, 32)
    monkeypatch.setenv("ACCELSIM_CACTI", "/nowhere/cacti")
    with pytest.raises(TechnologyError, match=r"ACCELSIM_CACTI=/nowhere/cacti: install CACTI"):
        sram_from_cacti(45, 4096, 32)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (program("print('ERROR: no valid organisation')"), "x 32 bits at 45 nm: ERROR: no valid"),
        (program("print('noise')", "sys.exit('too small')"), "at 45 nm: too small"),
        (program("sys.exit(3)"), "it ended with code 3 and said nothing"),
        (answer(ROW.replace("0.026065", "nan")), "nan as 'Dynamic write energy (nJ)': use CACTI 7"),
        (answer(ROW.replace("0.026065", "-1")), "-1 as 'Dynamic write energy (nJ)'"),
        (answer(ROW.replace("1.65095", "N/A")), "N/A as 'Random cycle time (ns)'"),
        (answer("45, 131072, "), "nothing as 'Dynamic read energy (nJ)'"),
        (answer(ROW, NAMES.replace("Area (mm2)", "Area (um2)")), "nothing as 'Area (mm2)'"),
        (program("open(OUT, 'w')"), "nothing as 'Dynamic read energy (nJ)'"),
        ("no program", "cannot be run: Exec format error"),
    ],
)  # fmt: skip
def test_what_cacti_cannot_do_is_said_in_one_line(install, text, message):
    path = install(text)
    with pytest.raises(TechnologyError) as error:
        sram_from_cacti(45, 4096, 32)
    assert re.match(rf"{re.escape(str(path))}: ", str(error.value))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_cacti_that_does_not_end_is_ended(install, monkeypatch):
    install(program("import time", "time.sleep(600)"))
    monkeypatch.setattr(cacti, "TIME_LIMIT_S", 0.2)
    with pytest.raises(TechnologyError, match=r"no answer within 0\.2 s for 4096 bytes x 32 bits"):
        sram_from_cacti(45, 4096, 32)
