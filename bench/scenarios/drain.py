"""Many events waiting: how fast they go, and what memory the worker takes meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.groups import references
from bench.lab import Lab, publish
from bench.measure import rate, usage
from bench.options import Options
from bench.report import Section, kilo, mebi
from tests.support import key_of

_FEW = 1_000
_LATENCY_S = 0.01
_EVERY_S = 0.5
_WAIT_S = 900.0
_ROWS = 10


_HEADER = ["events", "after s", "closed", "closures/s", "worker RSS MiB", "peak MiB", "store MiB", "closed once"]


def measure(lab: Lab, options: Options) -> Iterator[Section]:
    """A few events, then many; the worker's memory at each tenth of the way."""
    rows = [row for groups in (_FEW, options.many) for row in _drain(lab, groups)]
    yield Section(
        f"Drain of {_FEW:,} and of {options.many:,} waiting events",
        [
            f"One worker, 100 in flight, {_LATENCY_S * 1000:g} ms, so that it ends soon. All events are on the",
            f"stream before the worker starts; its memory is looked at every {_EVERY_S:g} s. `all`: from the first",
            "call to the last close, as counted at the API; the other rows: what the ledger has, since the row before.",
        ],
        _HEADER,
        rows,
    )


def _drain(lab: Lab, groups: int) -> list[list[str]]:
    lab.clear(groups, _LATENCY_S)
    publish(lab.store, references(groups))
    with lab.closer() as pid:
        rows = list(_watch(lab, pid, groups))
        time.sleep(_EVERY_S)
        worker = usage(pid)
    report = lab.api.report()
    exact = len(report.closes) == report.calls == groups
    total = [
        f"{groups:,}, all",
        "",
        kilo(len(report.closes)),
        kilo(rate(report)),
        mebi(worker.rss),
        mebi(worker.rss_peak),
    ]
    return [*rows, [*total, _store_mib(lab), "yes" if exact else f"NO: {report.calls:,} calls"]]


def _watch(lab: Lab, pid: int, groups: int) -> Iterator[list[str]]:
    started, done = time.monotonic(), False
    since, before = started, 0
    while not done and time.monotonic() < started + _WAIT_S:
        done = lab.follow(pid, "done", _EVERY_S)
        closed, now = int(lab.store.zcard(key_of("closed"))), time.monotonic()
        if closed * _ROWS // groups > before * _ROWS // groups:
            speed, worker = (closed - before) / (now - since), usage(pid)
            row = [f"{now - started:.1f}", kilo(closed), kilo(speed), mebi(worker.rss), mebi(worker.rss_peak)]
            yield [kilo(groups), *row, _store_mib(lab), ""]
            since, before = now, closed


def _store_mib(lab: Lab) -> str:
    return mebi(int(lab.store.info("memory")["used_memory"]))
