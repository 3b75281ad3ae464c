"""Many events waiting: how fast they go, and what memory the worker takes meanwhile."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.groups import references
from bench.lab import Lab, publish
from bench.measure import rate, usage
from bench.options import Options
from bench.report import Section, kilo, mebi

_FEW = 1_000
_LATENCY_S = 0.01
_EVERY_S = 0.5
_WAIT_S = 900.0
_ROWS = 10


def measure(lab: Lab, options: Options) -> Iterator[Section]:
    """A few events, then many; the worker's memory at each tenth of the way."""
    rows = [*_drain(lab, _FEW)[-1:], *_drain(lab, options.many)]
    yield Section(
        f"Drain of {_FEW:,} and of {options.many:,} waiting events",
        [
            f"One worker, 100 in flight, {_LATENCY_S * 1000:g} ms, so that it ends soon. All events are on the",
            f"stream before the worker is started; its memory is looked at every {_EVERY_S:g} s. Each ends",
            "with its last row.",
        ],
        [
            "events",
            "after s",
            "closed",
            "closures/s until then",
            "worker RSS MiB",
            "peak MiB",
            "store MiB",
            "closed once",
        ],
        rows,
    )


def _drain(lab: Lab, groups: int) -> list[list[str]]:
    lab.clear(groups, _LATENCY_S)
    publish(lab.store, references(groups))
    started, rows, shown = time.monotonic(), [], 0
    with lab.closer() as pid:
        done = False
        while not done and time.monotonic() < started + _WAIT_S:
            done = lab.api.heard("done", _EVERY_S)
            if done:
                time.sleep(_EVERY_S)
            closed = lab.store.zcard("closer:closed")
            if done or closed * _ROWS // groups > shown:
                shown = closed * _ROWS // groups
                rows.append(_sample(lab, pid, groups, closed, time.monotonic() - started))
    report = lab.api.report()
    exact = len(report.closes) == report.calls == groups
    rows[-1][3], rows[-1][-1] = kilo(rate(report)), "yes" if exact else f"NO: {report.calls:,} calls"
    return rows


def _sample(lab: Lab, pid: int, groups: int, closed: int, after_s: float) -> list[str]:
    worker = usage(pid)
    store = int(lab.store.info("memory")["used_memory"])
    speed = kilo(closed / after_s)
    return [
        kilo(groups),
        f"{after_s:.1f}",
        kilo(closed),
        speed,
        mebi(worker.rss),
        mebi(worker.rss_peak),
        mebi(store),
        "",
    ]
