import json

import pytest

from accelsim.baseline.measured.cpu import measure_cpu
from accelsim.baseline.measured.record_file import load_measurement, save_measurement
from accelsim.errors import FileFormatError, InputError


@pytest.fixture
def measurement(network, small_caches):  # noqa: ARG001 (it patches what the measurement uses)
    return measure_cpu(network, batches=(1, 2), repetitions=3, budget_s=0.01)


def test_a_record_survives_its_file(measurement, tmp_path):
    path = tmp_path / "cpu.json"
    save_measurement(measurement, path)
    assert load_measurement(path) == measurement
    assert [entry.name for entry in tmp_path.iterdir()] == ["cpu.json"]


def version_1():
    """A record as accelsim 0.5 wrote it, cut down to a layer."""
    timing = {"cache": "warm", "loops": 9, "samples_us": [2.0, 4.0], "energy_uj": 5.0}
    kernel = {"package": "p 1", "weight_bytes": 96, "overhead_us": 0.25, "timings": [timing]}
    layer = {
        "name": "fc",
        "n_in": 6,
        "n_out": 4,
        "nonzeros": 7,
        "vectors": 3,
        "in_turn": True,
        "inputs": "drawn",
        "kernels": [{"kernel": name} | kernel for name in ("dense BLAS", "sparse CSR")],
    }
    device = {
        "cpu": "An old CPU",
        "cpus": 2,
        "cache_bytes": 1000,
        "cache_assumed": False,
        "blas": "openblas 0.3",
        "thread_limits": {},
        "system": "Linux",
        "software": {"numpy": "2.0"},
        "load_average": [0.5, 0.25, 0.125],
    }
    return {
        "version": 1,
        "network": "net",
        "batch": 8,
        "date_utc": "2026-01-02T03:04:05Z",
        "device": device,
        "flush_bytes": 4000,
        "energy_zones": ["intel-rapl:0"],
        "others_cpus": 0.5,
        "layers": [layer],
    }


def saved(tmp_path, record):
    path = tmp_path / "cpu.json"
    path.write_text(json.dumps(record))
    return path


def test_a_record_of_version_1_comes_in_todays_form(tmp_path):
    record = load_measurement(saved(tmp_path, version_1()))
    assert (record.version, record.network, record.others_cpus) == (2, "net", 0.5)
    assert record.energy_source == "RAPL counters of the CPU package (intel-rapl:0)"
    (layer,) = record.layers
    assert (layer.vectors, layer.in_turn, layer.activation_density_frac) == (3, True, None)
    dense, sparse = layer.kernels
    assert (dense.threads, sparse.threads) == ("BLAS may use 2 CPUs", "one thread")
    assert (dense.batch, sparse.batch) == (8, 8)
    row = record.rows()[0]
    assert row.system == "another machine: An old CPU, dense BLAS, warm, batch 8"
    assert (row.latency_us, row.energy_uj) == (3.0, 5.0)


def test_a_damaged_record_of_version_1(tmp_path):
    record = version_1()
    record["layers"][0]["kernels"][0]["batch"] = 3
    with pytest.raises(FileFormatError, match=r"unknown field 'layers\.0\.kernels\.0\.batch'"):
        load_measurement(saved(tmp_path, record))


def test_saving_into_a_missing_folder(measurement, tmp_path):
    with pytest.raises(InputError, match="cannot write"):
        save_measurement(measurement, tmp_path / "none" / "cpu.json")


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"none.json: cannot be read: No such file"):
        load_measurement(tmp_path / "none.json")


CONTENTS = [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"version": 1}', b"[" * 100_000]


@pytest.mark.parametrize("content", CONTENTS)
def test_files_that_are_no_records(tmp_path, content):
    path = tmp_path / "cpu.json"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"cpu\.json: ") as caught:
        load_measurement(path)
    assert "\n" not in str(caught.value)


KERNEL = ("layers", 0, "kernels", 0)
SAMPLES = (*KERNEL, "timings", 0, "samples_us")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("version",), 3, "version=3"),
        ((*KERNEL, "batch"), 0, "batch=0"),
        ((*KERNEL, "kernel"), "magic", r"kernel='magic'"),
        (("layers", 0, "n_in"), "many", r"layers\.0\.n_in='many'"),
        (("layers", 0, "activation_density_frac"), 1.5, r"activation_density_frac=1\.5"),
        ((*KERNEL, "timings", 0, "cache"), "hot", r"timings\.0\.cache='hot'"),
        (SAMPLES, [], r"samples_us"),
        ((*SAMPLES, 0), -1.0, r"samples_us\.0=-1\.0"),
        ((*SAMPLES, 0), 0.0, r"samples_us\.0=0\.0: input should be greater than 0"),
        ((*SAMPLES, 0), True, r"samples_us\.0=True: input should be a valid number"),
        ((*KERNEL, "timings", 0, "loops"), True, r"loops=True: input should be a valid integer"),
        (("layers", 0, "n_in"), True, r"layers\.0\.n_in=True: input should be a valid integer"),
        (("layers", 0, "vectors"), True, r"vectors=True: input should be a valid integer"),
        ((*SAMPLES, 0), float("nan"), r"samples_us\.0=nan"),
        (("extra",), 1, "unknown field 'extra'"),
        (("device", "gpu"), {"name": "x"}, r"device\.gpu\.memory_bytes"),
        (("date_utc",), "2026-01-01T00:00:00", "date_utc"),
    ],
)
def test_a_damaged_record_names_file_and_field(measurement, tmp_path, place, value, message):
    record = json.loads(measurement.model_dump_json())
    part = record
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    path = saved(tmp_path, record)
    with pytest.raises(FileFormatError, match=message) as caught:
        load_measurement(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
