"""Where each microsecond of CPU of a closure goes in one worker process, by layer."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click
import psutil

from bench.lab import Lab, pin
from bench.layers import Layer, shares
from bench.measure import Run, run, whole_waves
from bench.options import Options
from bench.report import Section, kilo, percent
from bench.samples import Profile, install, watching
from bench.systems import BARE_HTTPX, CLOSER, System


@dataclass(frozen=True, slots=True)
class _Column:
    """One system: a run that nobody looks at, for what it costs, and a run that is sampled, for where."""

    system: System
    alone: Run
    watched: Run
    profile: Profile
    shares: dict[Layer, float]

    def cells(self, layer: Layer | None) -> list[str]:
        """Share and µs of a layer, or of all."""
        share = self.shares[layer] if layer else 1.0
        return [percent(share), kilo(share * self.alone.steady_cpu_us)]

    def __str__(self) -> str:
        alone, watched = self.alone, self.watched
        return (
            f"- {self.system.name}: {kilo(alone.rate)} closures/s, {kilo(alone.steady_cpu_us)} µs; while sampled "
            f"{kilo(watched.rate)}/s, {kilo(watched.steady_cpu_us)} µs, "
            f"{kilo(self.profile.count)} samples, {kilo(self.profile.failed)} failed"
        )


def measure(lab: Lab, options: Options) -> Iterator[Section]:
    """A table for each concurrency: the bare loop, the other checkout if there is one, and closer as it ships."""
    install()  # what it takes must not be taken from a run
    for concurrency in options.concurrency:
        groups = whole_waves(options.groups, concurrency)
        columns = [_column(lab, system, groups, concurrency, options.latency_s) for system in _systems(options.tree)]
        yield _section(columns, groups, concurrency, options.latency_s)


def _systems(tree: Path | None) -> list[System]:
    if tree is None:
        return [BARE_HTTPX, CLOSER]
    return [BARE_HTTPX, replace(CLOSER, name="before", folder=tree.resolve()), replace(CLOSER, name="now")]


def _column(lab: Lab, system: System, groups: int, concurrency: int, latency_s: float) -> _Column:
    profile = Profile()
    alone = run(lab, system, groups=groups, concurrency=concurrency, latency_s=latency_s)
    watched = run(
        lab,
        system,
        groups=groups,
        concurrency=concurrency,
        latency_s=latency_s,
        watch=partial(_watching, lab=lab, profile=profile),
    )
    _check_code(system, profile)
    column = _Column(system, alone, watched, profile, shares(profile.samples, profile.cpu_s))
    click.echo(f"{concurrency} in flight: {column}", err=True)
    return column


@contextmanager
def _watching(pid: int, *, lab: Lab, profile: Profile) -> Iterator[None]:
    """Sample the worker, alone on its core: one that waits for a core, having sent something, seems to be sending."""
    others = (lab.api.pid, lab.store_pid, os.getpid())
    everywhere = set(range(psutil.cpu_count() or 1))
    elsewhere = everywhere - {0} or everywhere
    try:
        pin(pid, everywhere - elsewhere or everywhere)
        for other in others:
            pin(other, elsewhere)
        with watching(pid, folder=lab.folder, profile=profile):
            yield
    finally:
        for other in others:
            pin(other, everywhere)


def _check_code(system: System, profile: Profile) -> None:
    """Raises RuntimeError when a worker has run other code than its checkout's, an installed package's for instance."""
    ours = f"{system.folder}/tasks/"
    frames = (frame for sample in profile.samples for frame in sample.stack)
    if system.kind == "closer" and not any(frame.path.startswith(ours) for frame in frames):
        raise RuntimeError(f"{system.name}: no sample has code of {ours}; it did not run, or was not seen")


def _section(columns: list[_Column], groups: int, concurrency: int, latency_s: float) -> Section:
    layers = [layer for layer in Layer if any(column.shares[layer] for column in columns)]
    rows = [[name, *(cell for column in columns for cell in column.cells(layer))]
            for name, layer in [*((layer.value, layer) for layer in layers), ("all", None)]]  # fmt: skip
    return Section(
        f"CPU of a closure by layer: {groups:,} groups, {latency_s * 1000:g} ms, {concurrency} in flight",
        [
            "µs of the worker's CPU for one closure, user and system, without start-up, from a run that nobody looks",
            "at. Shares are of a second run, sampled from its first call on, with the worker alone on its core: what",
            "each thread has used, by the kernel, is divided as its samples are. A sample counts for its innermost",
            "frame whose package has a layer; what has none (json, pydantic, redis-py) counts for its caller. Samples",
            "in epoll are left out: nearly all of them wait to be woken (its own CPU is about 2 %). Samples that fail",
            "do not fail everywhere alike: a share is good to about 5 points.",
            "",
            *map(str, columns),
        ],
        ["layer", *(f"{column.system.name}: {what}" for column in columns for what in ("share", "µs"))],
        rows,
    )
