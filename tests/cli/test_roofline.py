"""`accelsim roofline` on the command line."""

import json
import sys

import pytest

from accelsim import cli


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["accelsim", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return leaving.value.code, *capsys.readouterr()

    return call


def test_a_table_and_a_picture(run, tmp_path):
    out = tmp_path / "roofline.png"
    code, text, _ = run("roofline", "lenet-300-100", "-p", "titan-x", "--set", "pes=16", "-o", out)
    assert code == 0
    assert "Titan X" in text
    assert "eie-64, weights in SRAM" in text
    assert list(tmp_path.iterdir()) == [out]


def test_json_without_the_machine(run, tmp_path):
    out = tmp_path / "points.csv"
    code, text, _ = run(
        "roofline", "alexnet_fc", "--no-simulate", "--batch", 64, "--json", "--out", out
    )
    assert code == 0
    content = json.loads(text)
    assert content["batch"] == 64
    assert {point["kernel"] for point in content["points"]} == {"dense", "sparse"}
    assert len(out.read_text(encoding="utf-8").splitlines()) == 1 + len(content["points"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-p", "titan"), "platform 'titan': no such platform"),
        (("-o", "r.pdf"), "r.pdf: give a folder, or a file that ends in .png, .svg, .csv"),
        (("--no-simulate", "--set", "pes=3"), "pes: is a field of a machine"),
        (("--batch", "0"), "--batch"),
    ],
)
def test_wrong_input_is_one_line(run, arguments, message):
    code, _, error = run("roofline", "lenet-300-100", *arguments)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
