"""Builds one worker's components and wires them. `background.py` runs them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from tasks.api.client import SortedApi
from tasks.attempt import Attempter
from tasks.errors import NotTaken
from tasks.ledger.ledger import Ledger
from tasks.retry import Policy
from worker.attempts.batches import Batches
from worker.attempts.permission import Permission
from worker.attempts.pool import AttemptPool
from worker.attempts.settler import Settler
from worker.construct import api_of, ledger_of
from worker.dispatch.sweep import Dispatch, Sweep
from worker.intake.fleet_types import FleetTypes
from worker.intake.pump import Pump
from worker.intake.stream import StreamSource
from worker.intake.task_message import TaskMessageDoor
from worker.observe.attempt_log import log_attempt
from worker.observe.metrics import WorkerMetrics
from worker.operations.asker import Asker
from worker.operations.check_api import called
from worker.operations.notifier import Notifier
from worker.process.asking import Asking
from worker.process.bulk_runner import BulkRunner
from worker.process.inspection import Inspection
from worker.process.reach_log import ReachLog
from worker.process.retention import Retention
from worker.process.signs import Signs
from worker.process.vitals import AtWork, Vitals
from worker.settings import Settings
from worker.store.connect import Redis, connect

_log = logging.getLogger("closer.compose")


@dataclass(frozen=True, slots=True)
class Components:
    """The components of one worker. `introduced` is set when the ledger knows this worker."""

    redis: Redis
    ledger: Ledger
    api: SortedApi
    permission: Permission
    settler: Settler
    pool: AttemptPool
    sweep: Sweep
    intake: Pump
    batches: Batches
    inspection: Inspection
    asking: Asking
    vitals: Vitals
    introduced: asyncio.Event
    retention: Retention
    notifier: Notifier | None
    bulk_runner: BulkRunner


def compose(
    settings: Settings,
    dispatch: Dispatch,
    consume: Callable[[bool], None],
    name: str,
    metrics: WorkerMetrics | None = None,
) -> Components:
    """Build the components of the worker `name`.

    `dispatch` sends task messages. `consume` is called from the loop's thread with whether this worker may take task
    messages. `metrics`: None when nobody wants them. Must be called in the loop. Opens no connection yet. Raises
    ConfigurationError.
    """
    signs = _signs(settings)  # this comes first, because after an error nobody would close the clients
    permission, introduced = Permission(tell=consume), asyncio.Event()
    redis, api = connect(settings), api_of(settings, connections=settings.concurrency)
    ledger = ledger_of(settings, redis)

    async def probe(reference: str) -> None:
        """Attempt one closure although the key is suspended. A good reply ends the suspension."""
        with suppress(NotTaken):
            await batches.claim([reference], "probe of the key")

    sweep = Sweep(ledger, dispatch, permission, most=max(200, 4 * settings.concurrency), probe=probe)
    told = (log_attempt, ReachLog(called(settings)))
    observers = (*told, metrics.observe) if metrics else told
    settler = Settler(ledger, permission, after=sweep.made_room, observers=observers)
    pool = _pool(settings, ledger, _attempter(settings, api, name), settler, name)
    if metrics:
        metrics.watch(lambda: pool.in_flight)
    batches = Batches(pool, TaskMessageDoor(ledger), introduced, sweep.made_room)
    types = FleetTypes(ledger.policy, settings.accepted_types)
    source = StreamSource(ledger.events, settings.events_stream, types)
    work = AtWork(pool, settler, batches, sweep)
    return Components(
        redis, ledger, api, permission, settler, pool, sweep,
        Pump(source, ledger, types, sweep.poke),
        batches,
        Inspection(ledger, lease_s=settings.lease),
        Asking(ledger, api, rate_limit=settings.rate_limit),
        Vitals(settings, name, ledger, permission, introduced, work, signs),
        introduced,
        Retention(ledger, closed_days=settings.retain_closed_days, rejected_days=settings.retain_rejected_days),
        Notifier.of(settings, ledger, name),
        BulkRunner(ledger, name, Asker(ledger, settings, api=api)),
    )  # fmt: skip


def _signs(settings: Settings) -> Signs:
    """Give the first sign of life. Say where it stands, if that is not in the data directory."""
    signs = Signs(settings.data_dir)
    folder = signs.begin()
    if settings.data_dir not in (folder, folder.parent):
        _log.warning("%s cannot be written; signs of life (`closer health`) stand in %s", settings.data_dir, folder)
    return signs


def _attempter(settings: Settings, api: SortedApi, name: str) -> Attempter:
    return Attempter(
        api,
        Policy(settings.retry_base, settings.retry_cap),
        worker=name,
        budget_s=settings.attempt_budget,
        lock_if_needed=settings.lock_before_close == "if-needed",
    )


def _pool(settings: Settings, ledger: Ledger, attempter: Attempter, settler: Settler, name: str) -> AttemptPool:
    return AttemptPool(
        ledger,
        attempter,
        settler,
        worker=name,
        concurrency=settings.concurrency,
        lease_s=settings.lease,
        budget_s=settings.attempt_budget,
        rate_limit=settings.rate_limit,
    )
