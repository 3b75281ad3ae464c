"""Two workers against one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import psutil

from bench.groups import references
from bench.lab import Lab, pin, publish, until
from bench.measure import rate, usage
from bench.options import Options
from bench.report import Section, kilo, percent
from tests.support import key_of

_WAIT_S = 300.0


def measure(lab: Lab, options: Options) -> Iterator[Section]:
    """At each concurrency: one worker, then two with the same settings."""
    rows = []
    for concurrency in options.concurrency:
        rates = []
        for workers in (1, 2):
            row, closures = _fleet(lab, options, concurrency, workers)
            rates.append(closures)
            rows.append([str(concurrency), str(workers), *row, f"{rates[-1] / rates[0]:.2f}"])
    yield Section(
        f"Two workers against one: {options.groups:,} groups for each, {options.latency_s * 1000:g} ms",
        [
            _separation(),
            "A fleet that scales costs the same CPU for a closure whoever makes it: where that column stays and the",
            "ratio does not reach 2, the machine is full (`busy`: all cores, all processes, while it ran).",
        ],
        [
            "in flight each",
            "workers",
            "closures/s",
            "worker CPU µs",
            "store CPU µs",
            "machine busy",
            "closed once",
            "ratio",
        ],
        rows,
    )


def _separation() -> str:
    if _separate():
        return "Worker 1 is pinned to core 0, worker 2 to core 1; API, store and this program have the other cores."
    return (
        "Worker 1 is pinned to core 0, worker 2 to core 1. This machine has no more cores, so API and store share "
        "them: only while the workers leave enough of both cores free is the ratio the fleet's own."
    )


def _separate() -> bool:
    return (psutil.cpu_count() or 1) >= 4


def _fleet(lab: Lab, options: Options, concurrency: int, workers: int) -> tuple[list[str], float]:
    """The workers are started, and have grown warm, before the events come: this is about steady work."""
    groups = options.groups * workers
    lab.clear(groups, options.latency_s)
    if _separate():
        for pid in (lab.api.pid, lab.store_pid):
            pin(pid, set(range(2, psutil.cpu_count() or 1)))
    with ExitStack() as stack:
        pids = [stack.enter_context(lab.closer(concurrency)) for _ in range(workers)]
        for core, pid in enumerate(pids):
            pin(pid, {core})
        worker, store, started = usage(*pids), usage(lab.store_pid), time.monotonic()
        psutil.cpu_percent()
        publish(lab.store, references(groups))
        lab.follow(pids[0], "done", _WAIT_S)
        busy = psutil.cpu_percent() / 100
        until(
            lambda: lab.store.zcard(key_of("closed")) == groups or time.monotonic() > started + _WAIT_S,
            "settled",
            _WAIT_S,
        )
        worker_later, store_later = usage(*pids), usage(lab.store_pid)
    report = lab.api.report()
    exact = len(report.closes) == report.calls == groups
    costs = [kilo((later.cpu_s - before.cpu_s) / groups * 1e6)
             for before, later in ((worker, worker_later), (store, store_later))]  # fmt: skip
    closures = rate(report)
    return [kilo(closures), *costs, percent(busy), "yes" if exact else f"NO: {report.calls:,} calls"], closures
