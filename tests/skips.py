"""With TESTS_ALL=1 a test that would be skipped fails, so that nothing is left out unnoticed."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The report of one test."""
    report = yield
    return report if hasattr(report, "wasxfail") else _strict(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The report of a file that is collected."""
    return _strict((yield))


def _strict(report: Report) -> Report:
    if report.skipped and os.environ.get("TESTS_ALL") == "1":
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{why} (TESTS_ALL=1: no test may be skipped)"
    return report
