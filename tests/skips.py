"""Which tests are left out. With TESTS_ALL=1 none is, and a test that would be skipped fails."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
_LONG = "takes long; TESTS_ALL=1 runs it"


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker."""
    config.addinivalue_line("markers", "long(but=[]): left out without TESTS_ALL=1, except the cases with these ids")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files first that have long tests, so that none of these is the last to end. Skip what takes long."""
    first = {item.path for item in items if item.get_closest_marker("long")}
    items.sort(key=lambda item: item.path not in first)
    if not _all():
        for item in filter(_is_long, items):
            item.add_marker(pytest.mark.skip(reason=_LONG))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """The report of one test."""
    report = yield
    return report if hasattr(report, "wasxfail") else _strict(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The report of a file that is collected."""
    return _strict((yield))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many tests were left out because they take long, and how to run them."""
    skipped = terminalreporter.stats.get("skipped", [])
    if long := sum(_LONG in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"{long} long tests were skipped; `TESTS_ALL=1 make test` runs them, too.")


def _all() -> bool:
    return os.environ.get("TESTS_ALL") == "1"


def _is_long(item: pytest.Item) -> bool:
    marker = item.get_closest_marker("long")
    case = item.callspec.id if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ""
    return marker is not None and case not in marker.kwargs.get("but", ())


def _strict(report: Report) -> Report:
    if report.skipped and _all():
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{why} (TESTS_ALL=1: no test may be skipped)"
    return report
