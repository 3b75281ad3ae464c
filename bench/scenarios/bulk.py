"""One bulk action on very many failed closures: how long freezing and doing it take, and what store and worker need."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil
import redis

from bench.groups import references
from bench.lab import Lab
from bench.options import Options
from bench.report import Section
from bench.seed import failed, fill, lean
from tasks.closure import State
from tasks.ledger.bulk_action import BulkAction
from worker.operations.actions import read
from worker.operations.bulk import BulkOptions, requeue
from worker.operations.context import OperatorContext, open_context
from worker.operations.frozen import freeze
from worker.operations.gate import pause
from worker.operations.operator import Operator, Role, Verb
from worker.operations.selection import Filter, Selection
from worker.settings import load

_ANNA = Operator("anna", Role.ADMIN, "bench")
_FAILED = Selection(filter=Filter(states=(State.FAILED,)))
_SLOW_US = 1000
_LOOK_S = 0.2
_MIB = 1024 * 1024


@dataclass(slots=True)
class _Found:
    """What one action has taken. Times are seconds, memory is MiB."""

    frozen_s: float
    begun_s: float
    done_s: float
    peak_mib: float
    action: BulkAction


def measure(lab: Lab, options: Options) -> Iterator[Section]:
    """Re-queue twice `--many` closures at once, with the gate shut so that none is called, by one worker."""
    lab.clear(0, 0.0)
    groups = list(references(2 * options.many))
    fill(lab.store_url, groups, lean, failed)
    with lab.closer() as pid:
        worker = psutil.Process(pid)
        store, workers = _used_mib(lab.store), worker.memory_info().rss / _MIB
        _watch(lab.store)
        found = asyncio.run(_requeue_all(lab))
        rows = [
            ["closures in the action", f"{found.action.changed:,}"],
            ["looked up", f"{found.frozen_s:.2f} s"],
            ["frozen and begun", f"{found.begun_s:.2f} s"],
            ["done by the worker", f"{found.done_s:.1f} s"],
            ["the longest script", f"{_longest_ms(lab.store):.0f} ms"],
            ["the worker's memory before, after", f"{workers:.0f}, {worker.memory_info().rss / _MIB:.0f} MiB"],
            ["the store's memory before, at most, after",
             f"{store:.0f}, {found.peak_mib:.0f}, {_used_mib(lab.store):.0f} MiB"],
        ]  # fmt: skip
    yield Section("A bulk action", ["One re-queue of all that failed, left to one worker."], ["", ""], rows)


async def _requeue_all(lab: Lab) -> _Found:
    settings = load(redis_url=lab.store_url, api_base_url=lab.api.url)
    async with open_context(_ANNA, settings) as context:
        await pause(context, why="bench")
        started = time.monotonic()
        frozen = await freeze(context, Verb.REQUEUE, _FAILED, "bench")
        looked_up = time.monotonic()
        result = await requeue(context, frozen, BulkOptions("bench", detach=True))
        begun = time.monotonic()
        assert result.action is not None
        peak, action = await _until_done(context, lab.store, result.action.id)
        done_s = time.monotonic() - begun
        return _Found(looked_up - started, begun - looked_up, done_s, peak, action)


async def _until_done(context: OperatorContext, store: redis.Redis, action_id: str) -> tuple[float, BulkAction]:
    """Return the store's largest memory (MiB) until the action has ended, and the action."""
    peak = _used_mib(store)
    while (action := await read(context, action_id)).is_open:
        await asyncio.sleep(_LOOK_S)
        peak = max(peak, _used_mib(store))
    return peak, action


def _used_mib(store: redis.Redis) -> float:
    return int(store.info("memory")["used_memory"]) / _MIB


def _watch(store: redis.Redis) -> None:
    store.config_set("slowlog-log-slower-than", _SLOW_US)
    store.config_set("slowlog-max-len", 100_000)
    store.slowlog_reset()


def _longest_ms(store: Any) -> float:
    """Return how long the store's longest command since `_watch` took (ms); 0 when none took a millisecond."""
    return max((entry["duration"] for entry in store.slowlog_get(100_000)), default=0) / 1000
