"""The benchmarks' API counts what really happened, and the figures follow from it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from bench.groups import HEADERS
from bench.measure import middle_rate, rate, usage, whole_waves
from bench.report import percentile
from bench.standin import Close, Report, StandIn, stand_in
from tasks.api.reply import parse_body

WAIT_S = 30.0


@pytest.fixture
def api(tmp_path: Path) -> Iterator[StandIn]:
    """A running API."""
    with stand_in(tmp_path) as running:
        yield running


def close(api: StandIn, reference: str) -> httpx.Response:
    """Close a group there."""
    return httpx.post(f"{api.url}/shipment_groups/{reference}/close", headers=HEADERS, timeout=WAIT_S)


def test_every_close_is_counted(api: StandIn) -> None:
    """A group closed twice is one close and two calls, so that a run can tell; replies are as the API's."""
    api.reset(2, 0.0)
    replies = [close(api, "sg_1"), close(api, "sg_1"), close(api, "sg_2")]
    assert api.heard("done", WAIT_S)
    report = api.report()
    assert [reply.status_code for reply in replies] == [200, 304, 200]
    assert (body := parse_body(replies[0].content)) is not None
    assert body.reference == "sg_1"
    assert (report.calls, [each.reference for each in report.closes]) == (3, ["sg_1", "sg_2"])


def test_a_close_takes_its_time(api: StandIn) -> None:
    """A close takes effect no sooner than the latency after it has come."""
    api.reset(1, 0.05)
    close(api, "sg_1")
    (only,) = api.report().closes
    assert only.effective - only.arrived >= 0.05


def test_a_reset_forgets(api: StandIn) -> None:
    """What was closed before a reset is open again, and counts for nothing."""
    api.reset(1, 0.0)
    close(api, "sg_1")
    api.reset(1, 0.0)
    assert api.report() == Report(0, 0, [])
    assert close(api, "sg_1").status_code == 200


def test_rates_count_from_the_first_call() -> None:
    """Ten groups, two at a time, a tenth of a second each: 20 a second, though the first close comes after 0.1 s."""
    closes = [Close(f"sg_{n}", n // 2 * 0.1, n // 2 * 0.1 + 0.1) for n in range(10)]
    report = Report(10, 2, closes)
    assert rate(report) == pytest.approx(20)
    assert middle_rate(report) == pytest.approx(8 / 0.4)


def test_last_wave_is_whole() -> None:
    """Groups are rounded up to whole waves of calls, never down."""
    assert [whole_waves(groups, 300) for groups in (1, 300, 301, 5000)] == [300, 300, 600, 5100]


def test_percentiles() -> None:
    """The smallest value that at least this share does not exceed."""
    values = list(range(1, 101))
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert percentile([7.0], 0.5) == 7.0


def test_usage_counts_children(api: StandIn) -> None:
    """The usage of a process tree has every process in it, once."""
    assert api.pid in {child.pid for child in psutil.Process().children(recursive=True)}
    tree, alone = usage(os.getpid()), usage(api.pid)
    assert tree.processes >= alone.processes + 1
    assert usage(os.getpid(), api.pid).processes == tree.processes
    assert tree.rss > alone.rss > 0
