"""Builds one worker's components, wires them, runs them in the background and ends them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tasks.api.address import api_address
from tasks.api.client import SortedApi
from tasks.attempt import Attempter
from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.ledger.ledger import Ledger
from tasks.outage_log import OutageLog
from tasks.retry import Policy
from worker.attempts.permission import Permission
from worker.attempts.pool import AttemptPool, Draining
from worker.attempts.settler import Settler
from worker.dispatch.sweep import Publish, Sweep
from worker.intake.stream import StreamIntake
from worker.intake.task_message import TaskMessages
from worker.observe.attempt_log import log_attempt
from worker.patience import pauses, within
from worker.process import liveness
from worker.process.inspection import Inspection
from worker.process.supervisor import End, Part, Supervisor
from worker.process.vitals import AtWork, Vitals
from worker.settings import Settings
from worker.store.connect import connect

_DRAIN_S = 20.0  # calls in flight end; with what follows it stays under the 30 s that supervisors grant
_SETTLE_S = 5.0
GOODBYE_S = _DRAIN_S + _SETTLE_S + 3.0
_PRUNE_S = 60.0


class Components:
    """The components of one worker."""

    def __init__(self, settings: Settings, publish: Publish, consume: Callable[[bool], None], name: str) -> None:
        """`consume` is told whether this worker may take task messages, from the loop's thread."""
        liveness.prepare(settings)  # first: what it raises must find no connection open
        self._settings = settings
        self.permission = Permission(tell=consume)
        self.redis = connect(settings)
        api = api_address(settings.api_base_url)
        self.ledger = Ledger(self.redis, deadline_s=settings.retry_deadline, namespace=settings.fleet, api=api)
        self.api = SortedApi(
            base_url=settings.api_base_url,
            key=settings.need_api_key(),
            version=settings.api_version,
            timeout_s=settings.request_timeout,
            connections=settings.concurrency,
        )
        attempter = Attempter(
            self.api,
            Policy(settings.retry_base, settings.retry_cap),
            worker=name,
            budget_s=settings.attempt_budget,
            lock_if_needed=settings.lock_before_close == "if-needed",
        )
        self.sweep = Sweep(
            self.ledger, publish, self.permission, most=max(200, 4 * settings.concurrency), probe=self._probe_key
        )
        self.settler = Settler(self.ledger, self.permission, after=self.sweep.made_room, observers=(log_attempt,))
        self.pool = AttemptPool(
            self.ledger,
            attempter,
            self.settler,
            worker=name,
            concurrency=settings.concurrency,
            lease_s=settings.lease,
            budget_s=settings.attempt_budget,
            rate_limit=settings.rate_limit,
        )
        self.intake = StreamIntake(
            self.redis, self.ledger, settings.events_stream, settings.accepted_types, self.sweep.poke
        )
        self.inspection = Inspection(self.ledger, lease_s=settings.lease)
        self._introduced = asyncio.Event()
        self.messages = TaskMessages(self.ledger, self.pool, self._introduced, self.sweep.made_room)
        work = AtWork(self.pool, self.settler, self.messages, self.sweep)
        self.vitals = Vitals(settings, name, self.ledger, self.permission, self._introduced, work)
        self._stopping = False

    def background(self, opened: asyncio.Event) -> list[Part]:
        """Everything that runs for as long as the process, and how each ends."""
        # Intake and sweep finish their step: what they hold, read but not received, due but not published, would else
        # wait until somebody misses it.
        going = [
            Part("intake", self._keep_going("intake", self.intake.step, opened, self._introduced), End.FINISHES),
            Part("sweep", self._keep_going("sweep", self.sweep.step, opened, self._introduced), End.FINISHES),
        ]
        steps = {"health": self.vitals.health, "prune": self._prune, "inspection": self.inspection.step}
        going += [Part(name, self._keep_going(name, step, opened), End.CANCELLED) for name, step in steps.items()]
        return [
            Part("settler", self.settler.run(), End.LAST),
            Part("heartbeat", self._keep_going("heartbeat", self.vitals.heartbeat), End.CANCELLED),
            *going,
        ]

    async def goodbye(self, supervisor: Supervisor) -> None:
        """In-flight calls end, what was not begun goes back at once, all is written down; then the connections."""
        self._stopping = True
        self._introduced.set()  # parts that have not begun must end, too
        self.sweep.poke()
        supervisor.cancel(End.CANCELLED)
        await within(
            _DRAIN_S,
            asyncio.gather(supervisor.finished(), self.pool.drain()),
            "calls in flight did not end; their leases will",
        )
        await within(_SETTLE_S, self.settler.empty(), "the store did not take the last results; leases will end")
        supervisor.cancel(End.LAST)
        await self.vitals.goodbye()
        await within(1.0, self.api.aclose(), "connections to the API did not close")
        await within(1.0, self.redis.aclose(), "connections to the store did not close")

    async def _keep_going(self, name: str, step: Callable[[], Awaitable[None]], *after: asyncio.Event) -> None:
        """Repeat a step until the process stops; while the store is away, wait longer and longer, and say so once."""
        for event in after:
            await event.wait()
        trouble, waits = OutageLog(name), pauses()
        while not self._stopping:
            try:
                await step()
            except (StoreUnavailable, LedgerBroken) as error:
                trouble.begins(error)
                await asyncio.sleep(next(waits))
            else:
                trouble.ends()
                waits = pauses()

    async def _probe_key(self, reference: str) -> None:
        """Attempt one closure although the key is suspended: a good reply ends that."""
        with suppress(Draining):
            await self.messages.receive([reference], "probe of the key")

    async def _prune(self) -> None:
        forgotten = await self.ledger.prune(keep_s=self._settings.retain_closed_days * 86_400)
        await asyncio.sleep(0.1 if forgotten else _PRUNE_S)
