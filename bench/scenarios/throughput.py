"""Closures a second, CPU and memory: closer, its peers and the bare loops, with the work waiting when they start."""

from __future__ import annotations

from collections.abc import Iterator

import click

from bench.lab import Lab
from bench.measure import Run, run, usage, whole_waves
from bench.options import Options
from bench.report import Section, kilo, mebi, percent
from bench.systems import BARE, BARE_HTTPX, CLOSER, METERED, PEERS, QUIET, System

_LIMIT_GROUPS = 30_000
_LIMIT_CONNECTIONS = 100
_LIMIT_S = 60.0
_HEADER = [
    "system", "in flight", "closures/s", "middle 80 %", "of concurrency ÷ latency", "of the bare loop",
    "against the best peer", "CPU µs a closure", "without start-up", "peak RSS MiB", "processes", "start s",
    "store CPU µs", "API CPU µs", "closed once",
]  # fmt: skip


def measure(lab: Lab, options: Options) -> Iterator[Section]:
    """The simulated API's own limit, then one table for each concurrency."""
    yield _api_limit(lab)
    for concurrency in options.concurrency:
        yield _side_by_side(lab, options, concurrency)


def _systems(options: Options) -> list[System]:
    systems = [BARE, BARE_HTTPX, CLOSER, QUIET, METERED, *(PEERS if options.peers else [])]
    return [system for system in systems if not options.only or system.name in options.only]


def _side_by_side(lab: Lab, options: Options, concurrency: int) -> Section:
    groups = whole_waves(options.groups, concurrency)
    runs = []
    for system in _systems(options):
        runs.append(run(lab, system, groups=groups, concurrency=concurrency, latency_s=options.latency_s))
        click.echo(f"{system.name}: {runs[-1].rate:.0f}/s, {runs[-1].cpu_us:.0f} µs", err=True)
    bare = next((each.rate for each in runs if each.system is BARE), 0.0)
    best = max((each.rate for each in runs if each.system.kind == "peer"), default=0.0)
    latency_ms = options.latency_s * 1000
    return Section(
        f"Throughput: {groups:,} groups, {latency_ms:g} ms, {concurrency} in flight",
        [
            "All events or messages are in the store before the worker is started. Closures a second are counted at",
            "the API, from the first call's arrival to the last close. CPU is user and system time of all processes",
            "of the system, ended children too; the store's and the API's stand apart. Nothing is pinned to a core.",
            "Peak RSS adds up processes and counts what they share once for each. Peers log as they do by default.",
            f"The API's measured time: {_api_ms(runs)} ms.",
            "",
            *(f"- {system.name}: {system.how}" for system in _systems(options)),
        ],
        _HEADER,
        [_row(each, bare, best) for each in runs],
    )


def _row(each: Run, bare: float, best: float) -> list[str]:
    return [
        each.system.name,
        str(each.concurrency),
        kilo(each.rate),
        kilo(each.middle_rate),
        percent(each.share),
        percent(each.rate / bare) if bare else "",
        f"{each.rate / best:.2f}" if best else "",
        kilo(each.cpu_us),
        kilo(each.steady_cpu_us),
        mebi(each.usage.rss_peak),
        str(each.usage.processes),
        f"{each.start_s:.2f}",
        kilo(each.store_cpu_s / each.closed * 1e6),
        kilo(each.api_cpu_s / each.closed * 1e6),
        "yes" if each.exact else f"NO: {each.closed:,} of {each.groups:,} closed by {each.calls:,} calls",
    ]


def _api_ms(runs: list[Run]) -> str:
    times = [each.api_s * 1000 for each in runs]
    return f"{min(times):.1f} to {max(times):.1f}"


def _api_limit(lab: Lab) -> Section:
    """Bare sockets against the API without latency: how far the API itself is from being the bottleneck."""
    lab.clear(_LIMIT_GROUPS, 0.0)
    before = usage(lab.api.pid)
    environment = lab.environment(BARE, _LIMIT_CONNECTIONS)
    with lab.process([BARE.python(), "-m", "bench.limits.probe", str(_LIMIT_GROUPS)], environment):
        lab.api.heard("done", _LIMIT_S)
    cpu_s = usage(lab.api.pid).cpu_s - before.cpu_s
    closes = lab.api.report().closes
    seconds = max(close.effective for close in closes) - min(close.arrived for close in closes)
    return Section(
        "The simulated API's own limit",
        ["Bare sockets that send the next request as soon as the reply is there; no latency."],
        ["connections", "closes", "closes/s", "API CPU µs a close"],
        [[str(_LIMIT_CONNECTIONS), kilo(len(closes)), kilo(len(closes) / seconds), kilo(cpu_s / len(closes) * 1e6)]],
    )
