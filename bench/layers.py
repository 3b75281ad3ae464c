"""Which layer a sampled stack belongs to, by its innermost known package: every sample belongs to exactly one."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from functools import cache

from bench.samples import Frame, Sample


class Layer(StrEnum):
    """Where the CPU of a worker process goes, from the wire inwards."""

    WIRE = "the wire: aiohttp, asyncio's transport"
    HTTPX = "httpx, and its bridge to aiohttp"
    CALL = "our client of the API, verdict, retry"
    RUNNERS = "handing out claims (the bare loop's own lines)"
    LEDGER = "ledger and settler, with redis-py"
    CELERY = "Celery and kombu, their threads"
    INTAKE = "intake and events"
    SWEEP = "sweep, heartbeat and health"
    LOGS = "log lines"
    LOOP = "the event loop itself"
    REST = "rest"


# The first frame that has one of these decides, from the innermost outwards. What is in neither table (json, re, uuid,
# pydantic, redis-py, yarl, asyncio's locks and time-outs) works for whoever has called it.
_KNOWN: tuple[tuple[Layer, tuple[str, ...]], ...] = (
    (Layer.WIRE, ("aiohttp/",)),
    (Layer.HTTPX, ("httpx/", "httpx_aiohttp/", "httpcore/")),
    (Layer.CALL, ("tasks/api/", "tasks/attempt.py", "tasks/retry.py", "tasks/verdict.py")),
    (Layer.RUNNERS, ("worker/attempts/batches.py", "worker/attempts/pool.py", "bench/limits/")),
    (Layer.LEDGER, ("tasks/ledger/", "worker/attempts/settler.py")),
    (Layer.CELERY, ("celery/", "kombu/", "amqp/", "vine/", "billiard/")),
    (Layer.CELERY, ("tasks/celery_task.py", "tasks/task_message.py", "tasks/envelope.py", "worker/app.py")),
    (Layer.CELERY, ("worker/dispatch/dispatcher.py", "worker/broker/")),
    (Layer.INTAKE, ("worker/intake/", "tasks/events/")),
    (Layer.SWEEP, ("worker/dispatch/sweep.py", "worker/process/")),
    (Layer.LOGS, ("logging/", "worker/observe/logs.py")),
)
# Of what the loop calls by itself, and threads that wait for work: these decide only when no known package does.
_ALONE: tuple[tuple[Layer, tuple[str, ...]], ...] = (
    (Layer.LEDGER, ("redis/", "asyncio/streams.py")),  # nothing else here uses asyncio's streams
    (Layer.CELERY, ("worker/process/runtime.py", "concurrent/futures/", "threading.py")),
    (Layer.WIRE, ("asyncio/selector_events.py", "asyncio/sslproto.py")),
)
# Frames further out only show who started the loop.
_LOOP = ("_run_once", "run_forever")
_BEGIN = ("_bootstrap", "_run_module_as_main")
_SELECT = "selectors.py"
_LIBRARY = re.compile(r".*/(?:site-packages|lib/python3\.\d+)/")
_OWN = re.compile(r".*/(?=(?:tasks|worker|bench)/)")


def layer_of(stack: Sequence[Frame]) -> Layer:
    """The layer of a stack, whose outermost frame is the first."""
    alone: Layer | None = None
    for frame in reversed(stack):
        place = _place(frame.path)
        if known := _find(_KNOWN, place):
            return known
        if place == "asyncio/base_events.py" and frame.name.endswith(_LOOP):
            return alone or Layer.LOOP
        alone = alone or _find(_ALONE, place)
    return alone or Layer.REST


def shares(samples: Iterable[Sample], cpu_s: Mapping[int, float]) -> dict[Layer, float]:
    """Each layer's share of the CPU. `cpu_s`: each thread's, by the kernel. Raises ValueError when nothing was used.

    Samples only divide what their own thread has used: one that is woken often is seen far more often than it works.
    """
    counts: dict[int, Counter[Layer]] = defaultdict(Counter)
    for sample in samples:
        layer = layer_of(sample.stack)
        if not _waits(sample.stack) and (layer is not Layer.REST or _is_whole(sample.stack)):
            counts[sample.thread][layer] += sample.times
    found = dict.fromkeys(Layer, 0.0)
    for thread, seconds in cpu_s.items():
        seen = counts.get(thread) or Counter({Layer.REST: 1})
        for layer, count in seen.items():
            found[layer] += seconds * count / seen.total()
    total = sum(found.values())
    if not total:
        raise ValueError("the worker has used no CPU while it was looked at")
    return {layer: seconds / total for layer, seconds in found.items()}


def _waits(stack: Sequence[Frame]) -> bool:
    """Whether the loop has nothing to do. The kernel calls it running from the moment that it is to be woken."""
    return bool(stack) and _place(stack[-1].path) == _SELECT


def _is_whole(stack: Sequence[Frame]) -> bool:
    """Whether it goes back to where a thread or process begins: one read while it changed may be its last frames."""
    return bool(stack) and stack[0].name.endswith(_BEGIN)


@cache
def _place(path: str) -> str:
    """The path inside its library or checkout; a library may have a folder that is called as one of ours."""
    inside = _LIBRARY.match(path) or _OWN.match(path)
    return path[inside.end() :] if inside else path


def _find(table: tuple[tuple[Layer, tuple[str, ...]], ...], place: str) -> Layer | None:
    return next((layer for layer, places in table if place.startswith(places)), None)
