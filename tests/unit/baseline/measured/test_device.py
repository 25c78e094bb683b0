import pytest

from accelsim.baseline.measured.device import (
    Gpu,
    busy_s,
    cpu_model,
    flush_bytes,
    gpu_names,
    is_this_computer,
    last_level_cache_bytes,
    this_device,
)

MIB = 2**20
H200 = Gpu(
    name="NVIDIA H200", memory_bytes=150 * 10**9, cache_bytes=60 * MIB, driver=None, cuda="13.0"
)


@pytest.fixture
def add_cache(tmp_path):
    def add(cpu, index, level, size, shared):
        folder = tmp_path / f"cpu{cpu}" / "cache" / f"index{index}"
        folder.mkdir(parents=True)
        for name, text in (("level", level), ("size", size), ("shared_cpu_list", shared)):
            (folder / name).write_text(f"{text}\n")

    return add


def test_a_shared_last_level_counts_once(add_cache, tmp_path):
    for cpu in (0, 1):
        add_cache(cpu, 0, 1, "48K", cpu)
        add_cache(cpu, 2, 2, "1024K", cpu)
        add_cache(cpu, 3, 3, "32768K", "0-1")
    assert last_level_cache_bytes((0, 1), tmp_path) == 32 * MIB


def test_last_levels_of_several_clusters_add_up(add_cache, tmp_path):
    for cpu, shared in ((0, "0-1"), (1, "0-1"), (2, "2-3"), (3, "2-3")):
        add_cache(cpu, 3, 3, "16M", shared)
    assert last_level_cache_bytes((0, 1, 2, 3), tmp_path) == 32 * MIB
    assert last_level_cache_bytes((2,), tmp_path) == 16 * MIB


@pytest.mark.parametrize("size", ["", "unknown", "K"])
def test_unreadable_sizes_are_left_out(add_cache, tmp_path, size):
    add_cache(0, 2, 2, "512K", 0)
    add_cache(0, 3, 3, size, 0)
    assert last_level_cache_bytes((0,), tmp_path) == 512 * 1024


def test_without_cache_folders_nothing_is_known(tmp_path):
    assert last_level_cache_bytes((0,), tmp_path) is None


def test_the_flush_buffer_is_four_times_the_cache_but_never_small():
    assert flush_bytes(32 * MIB) == 128 * MIB
    assert flush_bytes(2 * MIB) == 64_000_000


def test_busy_time_leaves_idle_and_waiting_out(tmp_path, monkeypatch):
    monkeypatch.setattr("os.sysconf", {"SC_CLK_TCK": 100}.get)
    stat = tmp_path / "stat"
    stat.write_text("cpu  100 20 30 9999 8888 4 5 6 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    assert busy_s(stat) == 1.65
    stat.write_text("intr 1 2\n")
    assert busy_s(stat) is None
    assert busy_s(tmp_path / "none") is None


def test_cpu_model(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: A CPU: B\n\nmodel name\t: other\n")
    assert cpu_model(cpuinfo) == "A CPU: B"
    assert cpu_model(tmp_path / "none")


def test_a_name_without_a_number_gets_family_and_model(tmp_path):
    cpuinfo = tmp_path / "cpuinfo"
    lines = ["cpu family\t: 25", "model\t\t: 1", "model name\t: AMD EPYC"]
    cpuinfo.write_text("\n".join(lines))
    assert cpu_model(cpuinfo) == "AMD EPYC family 25 model 1"
    cpuinfo.write_text("\n".join([*lines[:2], "model name\t: AMD EPYC 7763"]))
    assert cpu_model(cpuinfo) == "AMD EPYC 7763"
    cpuinfo.write_text(lines[2])
    assert cpu_model(cpuinfo) == "AMD EPYC"


def test_gpus_that_the_driver_names(tmp_path):
    for folder, name in (("0000:01:00.0", "NVIDIA H200"), ("0000:02:00.0", "NVIDIA L4")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "information").write_text(f"Model: \t\t {name}\nIRQ:   \t\t 9\n")
    assert gpu_names(tmp_path) == ("NVIDIA H200", "NVIDIA L4")
    assert gpu_names(tmp_path / "none") == ()


@pytest.mark.parametrize(
    "other", [{"cpu": "another CPU"}, {"cpus": 1000}, {"cache_bytes": 12345}, {"gpu": H200}]
)
def test_another_computer(other):
    device = this_device()
    assert is_this_computer(device)
    assert not is_this_computer(device.model_copy(update=other))


def test_this_computers_own_gpu(monkeypatch):
    monkeypatch.setattr("accelsim.baseline.measured.device.gpu_names", lambda: ("NVIDIA H200",))
    device = this_device().model_copy(update={"gpu": H200})
    assert is_this_computer(device)
    assert device.name == "NVIDIA H200"
    assert this_device().name == cpu_model()


def test_this_device(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "1")
    device = this_device()
    assert device.threads == "OPENBLAS_NUM_THREADS=1"
    assert {"accelsim", "python", "numpy", "scipy"} <= set(device.software)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    assert this_device().threads == f"BLAS may use {device.cpus} CPUs"


def test_an_unknown_cache_is_assumed_and_said_so(monkeypatch):
    monkeypatch.setattr("accelsim.baseline.measured.device.last_level_cache_bytes", lambda _: None)
    device = this_device()
    assert (device.cache_bytes, device.cache_assumed) == (64 * MIB, True)
