import pytest

from accelsim.baseline.measured.device_power import specified_power
from accelsim.errors import TechnologyError


@pytest.mark.parametrize(
    ("device", "watts"),
    [
        ("NVIDIA H200", 700),
        ("NVIDIA H200 NVL", 600),  # the first pattern that fits, not the next one
        ("NVIDIA H100 PCIe", 350),
        ("NVIDIA H100 80GB HBM3", 700),
        ("NVIDIA A100-SXM4-80GB", 400),
        ("AMD EPYC 7763 64-Core Processor", 280),
        ("AMD EPYC family 25 model 1", 280),
        ("Intel(R) Core(TM) i7-5930K CPU @ 3.50GHz", 140),
    ],
)
def test_devices_and_their_data_sheets(device, watts):
    power = specified_power(device)
    assert power.tdp_w == watts
    assert power.source
    assert power.note


@pytest.mark.parametrize("device", ["AMD EPYC", "AMD EPYC 9755 128-Core Processor", "nothing"])
def test_a_device_that_no_data_sheet_is_known_of(device):
    assert specified_power(device) is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("tdp_w = -5", "tdp_w"),
        ('tdp_w = "many"', "tdp_w"),
        ("tdp_w = nan", "tdp_w"),
        ("watts = 5", "watts|tdp_w"),
    ],
)
def test_a_wrong_table_is_named(tmp_path, line, message):
    table = tmp_path / "power.toml"
    table.write_text(f'[[devices]]\npattern = "a"\n{line}\nsource = "s"\nnote = "n"\n')
    with pytest.raises(TechnologyError, match=message) as caught:
        specified_power("a", table)
    assert str(table) in str(caught.value)


def test_a_device_without_a_source_is_refused(tmp_path):
    table = tmp_path / "power.toml"
    table.write_text('[[devices]]\npattern = "a"\ntdp_w = 5\nnote = "n"\n')
    with pytest.raises(TechnologyError, match="source"):
        specified_power("a", table)
