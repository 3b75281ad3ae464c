"""Throughput against concurrency and against latency, as tables and as a picture."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click

from bench.environments import ROOT, python_of
from bench.lab import Lab
from bench.measure import run, whole_waves
from bench.options import Options
from bench.report import Section, kilo, percent
from bench.systems import BARE, BARE_HTTPX, CLOSER

PICTURE = "results.png"
_CONCURRENCY = (10, 30, 100, 300, 1000)
_LATENCY_S = (0.01, 0.03, 0.1, 0.3, 1.0)
_STEADY = 100
_SYSTEMS = (CLOSER, BARE_HTTPX, BARE)
_PLOT_S = 120.0

Point = tuple[int, float]


def measure(lab: Lab, options: Options) -> Iterator[Section]:
    """Two walks through the plane of concurrency and latency."""
    walks: dict[str, list[Point]] = {
        "concurrency": [(concurrency, options.latency_s) for concurrency in _CONCURRENCY],
        "latency": [(_STEADY, latency_s) for latency_s in _LATENCY_S],
    }
    found = {axis: {point: _point(lab, options, *point) for point in points} for axis, points in walks.items()}
    _plot(found)
    for axis, points in found.items():
        yield Section(
            f"Throughput against {axis}",
            ["closures/s, and the share of concurrency ÷ latency. Starting slowly and the last wave are counted in."],
            ["in flight", "latency ms", "limit", *(system.name for system in _SYSTEMS)],
            [_row(point, rates) for point, rates in points.items()],
            PICTURE if axis == "latency" else "",
        )


def _point(lab: Lab, options: Options, concurrency: int, latency_s: float) -> list[float]:
    """Work for about four seconds at the limit, but no more than asked for."""
    groups = whole_waves(max(concurrency * 4, min(options.groups, int(4 * concurrency / latency_s))), concurrency)
    rates = []
    for system in _SYSTEMS:
        each = run(lab, system, groups=groups, concurrency=concurrency, latency_s=latency_s)
        click.echo(f"{system.name}, {concurrency} in flight, {latency_s:g} s: {each.rate:.0f}/s", err=True)
        rates.append(each.rate)
    return rates


def _row(point: Point, rates: list[float]) -> list[str]:
    concurrency, latency_s = point
    limit = concurrency / latency_s
    shares = [f"{kilo(rate)} ({percent(rate / limit)})" for rate in rates]
    return [str(concurrency), f"{latency_s * 1000:g}", kilo(limit), *shares]


def _plot(found: dict[str, dict[Point, list[float]]]) -> None:
    """Drawn by an environment of its own: the project does not need matplotlib."""
    bench = Path(__file__).parent.parent
    series = {axis: [[*point, *rates] for point, rates in points.items()] for axis, points in found.items()}
    document = json.dumps({"systems": [system.name for system in _SYSTEMS], "series": series})
    command = [python_of(bench / "requirements-plot.txt"), "-m", "bench.plot", str(bench / PICTURE)]
    subprocess.run(command, input=document, text=True, cwd=ROOT, check=True, timeout=_PLOT_S)
