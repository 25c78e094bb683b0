import pytest

from accelsim.baseline.measured.rapl import package_counters, rapl_meter, read_all_uj, used_uj


@pytest.fixture
def add_zone(tmp_path):
    def add(zone, name="package-0", energy_uj="100", range_uj="999"):
        folder = tmp_path / zone
        folder.mkdir()
        (folder / "name").write_text(f"{name}\n")
        (folder / "energy_uj").write_text(f"{energy_uj}\n")
        (folder / "max_energy_range_uj").write_text(f"{range_uj}\n")
        return folder

    return add


def test_packages_only(add_zone, tmp_path):
    add_zone("intel-rapl:0", "package-0", energy_uj="7")
    add_zone("intel-rapl:0:0", "core")
    add_zone("intel-rapl:1", "package-1", energy_uj="8")
    add_zone("intel-rapl:2", "psys")
    counters = package_counters(tmp_path)
    assert [counter.zone.name for counter in counters] == ["intel-rapl:0", "intel-rapl:1"]
    assert read_all_uj(counters) == [7, 8]


def test_energy_between_readings(add_zone, tmp_path):
    zone = add_zone("intel-rapl:0", energy_uj="100")
    counters = package_counters(tmp_path)
    before = read_all_uj(counters)
    (zone / "energy_uj").write_text("350\n")
    assert used_uj(counters, before, read_all_uj(counters)) == 250


def test_a_meter(add_zone, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "accelsim.baseline.measured.rapl.package_counters", lambda: package_counters(tmp_path)
    )
    assert rapl_meter() is None
    zone = add_zone("intel-rapl:0", energy_uj="100")
    meter = rapl_meter()
    assert "intel-rapl:0" in meter.source
    meter.start()
    (zone / "energy_uj").write_text("350\n")
    assert meter.stop_uj() == 250


def test_a_counter_starts_over(add_zone, tmp_path):
    zone = add_zone("intel-rapl:0", energy_uj="990", range_uj="999")
    counters = package_counters(tmp_path)
    before = read_all_uj(counters)
    (zone / "energy_uj").write_text("15\n")
    # 990 ... 999 are nine steps, one to 0, fifteen more
    assert used_uj(counters, before, read_all_uj(counters)) == 25


def test_no_counters(tmp_path):
    assert package_counters(tmp_path) == ()
    assert package_counters(tmp_path / "none") == ()


@pytest.mark.parametrize("missing", ["name", "energy_uj", "max_energy_range_uj"])
def test_one_package_missing_means_no_energy(add_zone, tmp_path, missing):
    add_zone("intel-rapl:0")
    (add_zone("intel-rapl:1", "package-1") / missing).unlink()
    assert package_counters(tmp_path) == ()


def test_permission_denied(add_zone, tmp_path, monkeypatch):
    def deny(_counter):
        raise PermissionError(13, "Permission denied")

    add_zone("intel-rapl:0")
    monkeypatch.setattr("accelsim.baseline.measured.rapl.Counter.read_uj", deny)
    assert package_counters(tmp_path) == ()


def test_a_counter_that_holds_no_number(add_zone, tmp_path):
    add_zone("intel-rapl:0", energy_uj="garbage")
    assert package_counters(tmp_path) == ()
