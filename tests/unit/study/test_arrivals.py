import numpy as np
import pytest

from accelsim.errors import InputError
from accelsim.study.arrivals import poisson_ps, trace_ps


def test_arrival_times_come_from_lists_and_files(tmp_path):
    times = [0.0, 1.5, 1.5, 20.000001]
    expected = [0, 1_500_000, 1_500_000, 20_000_001]
    np.save(tmp_path / "times.npy", times)
    (tmp_path / "times.csv").write_text("id,arrival_us\na,0\nb,1.5\nc,1.5\nd,20.000001\n")
    assert trace_ps(times) == expected
    assert trace_ps(np.array(times)) == expected
    assert trace_ps(tmp_path / "times.npy") == expected
    assert trace_ps(str(tmp_path / "times.csv")) == expected


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([], "give a list of 1 to"),
        ([[1.0]], "give a list of 1 to"),
        ([1.0, 0.5], "not in order: request 2 comes too early"),
        ([-1.0], "must lie between 0 and"),
        ([float("nan")], "must lie between 0 and"),
        ([1e30], "must lie between 0 and"),
        (["soon"], "not all numbers"),
    ],
)
def test_times_that_cannot_be_are_refused(times, message):
    with pytest.raises(InputError, match=message):
        trace_ps(times)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("time\n1\n", "has no column 'arrival_us'"),
        ("", "has no column 'arrival_us'"),
        ("arrival_us\n1\nx\n", "line 3: arrival_us is 'x'"),
        ("a,arrival_us\n1\n", "line 2: arrival_us is 'None'"),
        ("arrival_us\n1\n2\n1\n", "not in order: request 3 comes too early"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, message):
    path = tmp_path / "times.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        trace_ps(path)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_or_pickled_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        trace_ps(tmp_path / "none.csv")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"objects\.npy"):
        trace_ps(tmp_path / "objects.npy")


def test_arrivals_that_take_longer_than_time_lasts_are_refused():
    with pytest.raises(InputError, match="rate_per_s=1e-06: 5 requests take longer"):
        poisson_ps(1e-6, 5, 0)


@pytest.mark.parametrize("rate", [1e-300, 5e-324, 0.99e-6])
def test_a_rate_without_an_arrival_in_time_is_refused(rate):
    with pytest.raises(InputError, match=r"rate_per_s=.*: give a rate of at least 1e-06"):
        poisson_ps(rate, 1, 0)
