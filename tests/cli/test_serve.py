"""`accelsim serve` on the command line."""

import json
import sys

import pandas as pd
import pytest

from accelsim import cli

FILES = {
    "summary.csv", "energy.csv", "chips.csv", "timeline.csv", "activity.csv", "requests.csv",
    "load.csv", "load.png", "latency.png", "activity.png", "index.html",
}  # fmt: skip


@pytest.fixture
def run(monkeypatch, capsys):
    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["accelsim", "serve", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        return leaving.value.code, *capsys.readouterr()

    return call


def test_a_table_of_throughput_latency_and_energy(run):
    code, out, _ = run("lenet-300-100", "--requests", 20)
    assert code == 0
    for word in ("Throughput", "Latency, p99", "Arrays busy", "Energy per request", "Power"):
        assert word in out
    assert "Links busy" not in out


def test_several_chips_have_a_table(run):
    code, out, _ = run(
        "lenet-300-100", "--requests", 20, "--chips", 2, "--arrangement", "pipelined"
    )
    assert code == 0
    assert "Links busy" in out
    assert "ip2 ip3" in out


def test_json_is_one_object(run):
    code, out, err = run(
        "lenet-300-100", "--arrivals", "poisson", "--rate_per_s", 1e5, "--requests", 50, "--json",
        "--batch", 2, "--batch-timeout-us", 5, "--set", "pes=32", "--seed", 3,
    )  # fmt: skip
    assert (code, err) == (0, "")
    content = json.loads(out)
    assert content["requests"] == 50
    assert content["settings"]["batch_timeout_us"] == 5
    assert content["provenance"]["machine"]["pes"] == 32


def test_a_folder_of_tables_pictures_and_a_page(run, tmp_path, monkeypatch):
    monkeypatch.setattr("accelsim.study.serve.LOADS", (0.3, 0.6))
    (tmp_path / "times.csv").write_text("arrival_us\n0\n1\n1\n7\n")
    folder = tmp_path / "out"
    code, _, _ = run(
        "lenet-300-100", "--arrivals", "trace", "--trace", tmp_path / "times.csv", "--out", folder
    )
    assert code == 0
    assert {path.name for path in folder.iterdir()} == FILES
    assert len(pd.read_csv(folder / "requests.csv")) == 4
    assert "Latency over load" in (folder / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arrivals", "sometimes"], "arrivals='sometimes': no such choice"),
        (["--arrivals", "poisson"], "needs rate_per_s"),
        (["--arrivals", "trace", "--trace", "none.csv"], "none.csv: no such file"),
        (["--chips", "0"], "chips=0"),
        (["--arrivals", "poisson", "--rate-per-s", "1e-300"], "rate_per_s=1e-300: is a request in"),
        (["--link", "grs"], "link_kind: is for pipelined chips"),
        (["--batch", "many"], "batch"),
        (["--set", "pse=4"], "did you mean 'pes'"),
    ],
)
def test_a_users_error_is_one_line_and_exit_code_2(run, arguments, message):
    code, out, err = run("lenet-300-100", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("accelsim: ")
    assert message in err
    assert err.count("\n") == 1
