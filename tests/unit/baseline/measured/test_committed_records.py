"""The measurements that are committed: complete, small, and made on a machine that was left alone."""

from pathlib import Path

import pytest

from accelsim.baseline.measured.record_file import load_measurement

FOLDER = Path(__file__).parents[4] / "reports" / "reference" / "measured"
RECORDS = sorted(FOLDER.glob("*.json"))
CPU_KERNELS = {"dense BLAS", "sparse CSR", "codebook", "torch dense", "torch sparse CSR"}
GPU_KERNELS = {"torch dense", "torch sparse CSR"}


def test_every_network_was_measured_on_a_cpu():
    records = [load_measurement(path) for path in RECORDS]
    networks = {record.network for record in records if record.device.gpu is None}
    assert networks >= {"alexnet_fc", "vgg16_fc", "neuraltalk", "lenet-300-100", "lenet-5"}


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record(path):
    assert path.stat().st_size < 400_000
    record = load_measurement(path)
    assert path.stem.startswith(record.network)
    assert not record.is_disturbed, f"others kept {record.others_cpus} CPUs busy: measure it again"
    expected = GPU_KERNELS if record.device.gpu else CPU_KERNELS
    for layer in record.layers:
        for batch in (1, 64):
            assert {k.kernel for k in layer.kernels if k.batch == batch} == expected
        assert all(len(t.samples_us) >= 10 for k in layer.kernels for t in k.timings)
