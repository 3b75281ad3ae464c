"""What a run cost and how fast it was: CPU and memory from the kernel's accounting, times from the API."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.lab import Lab
from bench.standin import Report
from bench.systems import System

_WAIT_S = 180.0
_QUIET_S = 0.3  # after the last close: results are written down and messages acknowledged, which is work too


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds (user and system, of ended children too) and memory (bytes) of a process tree."""

    cpu_s: float
    rss: int
    rss_peak: int
    processes: int


@dataclass(frozen=True, slots=True)
class Run:
    """One system under one load. Rates are closures a second; `start` is the time from starting the process."""

    system: System
    concurrency: int
    latency_s: float
    groups: int
    closed: int
    calls: int
    rate: float
    middle_rate: float
    start_s: float
    api_s: float
    ready_cpu_s: float
    usage: Usage
    store_cpu_s: float
    api_cpu_s: float

    @property
    def exact(self) -> bool:
        """Every group closed, by one call each."""
        return self.closed == self.groups == self.calls

    @property
    def cpu_us(self) -> float:
        """CPU of all processes of the system for one closure, starting up included (µs)."""
        return self.usage.cpu_s / self.closed * 1e6

    @property
    def steady_cpu_us(self) -> float:
        """The same from the first call on (µs)."""
        return (self.usage.cpu_s - self.ready_cpu_s) / self.closed * 1e6

    @property
    def share(self) -> float:
        """Of concurrency ÷ latency, which no system can exceed."""
        return self.rate * self.latency_s / self.concurrency


def usage(*pids: int) -> Usage:
    """What these process trees have used so far."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        parent = psutil.Process(pid)
        found |= {process.pid: process for process in (parent, *parent.children(recursive=True))}
    cpu, rss, peak, count = 0.0, 0, 0, 0
    for process in found.values():
        try:
            times, memory, highest = process.cpu_times(), process.memory_info().rss, _peak(process.pid)
        except (psutil.NoSuchProcess, FileNotFoundError):
            continue
        cpu += times.user + times.system + times.children_user + times.children_system
        rss, peak, count = rss + memory, peak + highest, count + 1
    return Usage(cpu, rss, peak, count)


def run(
    lab: Lab,
    system: System,
    *,
    groups: int,
    concurrency: int,
    latency_s: float,
    watch: Callable[[int], AbstractContextManager[object]] = nullcontext,
) -> Run:
    """Give the system `groups` groups, start its worker, measure until the last is closed.

    `watch` is entered with the worker's pid at its first call, and left when all has been closed and written down.
    """
    lab.clear(groups, latency_s)
    lab.enqueue(system, groups)
    used = _use(lab, system, groups, concurrency, watch)
    report = lab.api.report()
    if len(report.closes) < groups / 10:
        raise RuntimeError(f"{system.name} closed {len(report.closes)} of {groups}: {lab.output()}")
    return Run(
        system=system,
        concurrency=system.flight(concurrency),
        latency_s=latency_s,
        groups=groups,
        closed=len(report.closes),
        calls=report.calls,
        rate=rate(report),
        middle_rate=middle_rate(report),
        start_s=min(close.arrived for close in report.closes) - used.started,
        api_s=sum(close.effective - close.arrived for close in report.closes) / len(report.closes),
        ready_cpu_s=used.ready_cpu_s,
        usage=used.worker,
        store_cpu_s=used.store_cpu_s,
        api_cpu_s=used.api_cpu_s,
    )


@dataclass(frozen=True, slots=True)
class _Used:
    """What a run used. `started` is the moment before its worker's start (s, monotonic clock)."""

    started: float
    ready_cpu_s: float
    worker: Usage
    store_cpu_s: float
    api_cpu_s: float


def _use(
    lab: Lab, system: System, groups: int, concurrency: int, watch: Callable[[int], AbstractContextManager[object]]
) -> _Used:
    store, api = usage(lab.store_pid), usage(lab.api.pid)
    started = time.monotonic()
    with lab.running(system, concurrency, groups) as pid:
        lab.follow(pid, "first", _WAIT_S)
        ready = usage(pid)
        with watch(pid):
            lab.follow(pid, "done", _WAIT_S)
            time.sleep(_QUIET_S)
        used = usage(pid)
    store_cpu_s = usage(lab.store_pid).cpu_s - store.cpu_s
    return _Used(started, ready.cpu_s, used, store_cpu_s, usage(lab.api.pid).cpu_s - api.cpu_s)


def whole_waves(groups: int, concurrency: int) -> int:
    """`groups`, and a few more, so that the last wave is a full one: a lone straggler costs as long as a full wave."""
    return -(-groups // concurrency) * concurrency


def rate(report: Report) -> float:
    """Closures a second from the first call's arrival to the last close.

    Not from the first close: all calls of the first wave take effect at once, which would count them for nothing.
    """
    first, last = min(close.arrived for close in report.closes), max(close.effective for close in report.closes)
    return len(report.closes) / (last - first)


def middle_rate(report: Report) -> float:
    """Closures a second over the middle 80 % of the closes."""
    at = sorted(close.effective for close in report.closes)
    low, high = len(at) // 10, len(at) * 9 // 10
    return (high - low) / max(at[high] - at[low], 1e-9)


def _peak(pid: int) -> int:
    with Path(f"/proc/{pid}/status").open() as status:
        return next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM")), 0)
