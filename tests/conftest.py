"""What all tests share."""

import os

import pytest

NO_SKIP = "ACCELSIM_NO_SKIP"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):  # noqa: ARG001 (pytest names the arguments)
    """With ACCELSIM_NO_SKIP set, as in CI, a skipped test is a failed test."""
    report = yield
    if report.skipped and os.environ.get(NO_SKIP) and not hasattr(report, "wasxfail"):
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: {reason} ({NO_SKIP} is set, so this counts as a failure)"
    return report
