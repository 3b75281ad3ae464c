"""Disables Celery's own environment variables and options, so that only `CLOSER_*` configures closer.

Celery reads these variables in many places, and they override its configuration. With CELERY_BROKER_URL a worker would
consume another program's queue. With CELERY_WORKER_PURGE it would empty its own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

PREFIX = "CELERY_"
# CELERY_APP chooses the program itself; Celery writes these as it starts.
_KEPT = {"CELERY_APP", "CELERY_LOG_LEVEL", "CELERY_LOG_FILE", "CELERY_LOG_REDIRECT", "CELERY_LOG_REDIRECT_LEVEL"}
REMEDY = "unset it; CLOSER_BROKER_URL, or else CLOSER_REDIS_URL, names the broker"
# Options of `celery worker` that change what is consumed, what is done with it, or what runs beside it.
_REFUSED = {
    "queues": "--queues: closer's workers consume closer's queue",
    "exclude_queues": "--exclude-queues: closer's workers consume closer's queue",
    "purge": "--purge: it would throw task messages away",
    "include": "--include: closer's workers run closer's task only",
    "autoscale": "--autoscale: CLOSER_CONCURRENCY says how many calls are in flight",
    "beat": "--beat: closer has no schedule of Celery's",
    "statedb": "--statedb: closer's workers revoke nothing",
}
# Options that closer's pool of threads, or closer itself, does not heed.
_WITHOUT_EFFECT = ("time_limit", "soft_time_limit", "max_tasks_per_child", "max_memory_per_child", "heartbeat_interval")


@cache
def forget() -> tuple[str, ...]:
    """Remove Celery's variables from this process's environment, and return the names of those that were set.

    The first call does the work. Later calls return the same names.
    """
    names = tuple(sorted(name for name in os.environ if name.startswith(PREFIX) and name not in _KEPT))
    for name in names:
        del os.environ[name]
    return names


def without_effect(options: Mapping[str, Any]) -> list[str]:
    """Return the options of `celery worker` that were given and that closer does not heed, as they are written."""
    return [f"--{name.replace('_', '-')}" for name in _WITHOUT_EFFECT if options.get(name) is not None]


def refused(options: Mapping[str, Any], conf: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """Return what must not be on Celery's command line, one line for each; empty when the worker may start.

    `options` are the options of `celery worker`. `conf` is Celery's configuration now, and `ours` what it must be.
    """
    from celery.concurrency.thread import TaskPool

    wrong = [words for name, words in _REFUSED.items() if options.get(name)]
    if options.get("pool") not in (None, "threads", TaskPool):
        wrong.append("--pool: closer's workers need the pool that they choose themselves, threads")
    if options.get("prefetch_multiplier") not in (None, ours["worker_prefetch_multiplier"]):
        wrong.append("--prefetch-multiplier: a worker must not hold messages that another one could work on")
    return wrong + [f"{name}: closer sets it itself" for name in ours if conf.get(name) != ours[name]]
