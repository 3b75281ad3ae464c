"""The parts of a worker, put together here and nowhere else."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress

from tasks.address import api_address
from tasks.api import SortedApi
from tasks.attempt import Attempter
from tasks.errors import CloserError, LedgerBroken, StoreUnavailable
from tasks.fleet_policy import FleetPolicy
from tasks.ledger import Ledger
from tasks.permission import Permission, key_name
from tasks.pool import AttemptPool, Draining
from tasks.retry import Policy
from tasks.settler import Settler
from tasks.trouble import Trouble
from worker import health, logs
from worker.inspection import Inspection
from worker.intake.stream import StreamIntake
from worker.intake.task_message import TaskMessages
from worker.observe.attempt_log import log_attempt
from worker.private import NotPrivate
from worker.process.patience import pauses, within
from worker.process.supervisor import End, Part, Supervisor
from worker.redaction import redact
from worker.settings import Settings
from worker.store import connect, warn_of_eviction
from worker.sweep import Publish, Sweep

_log = logging.getLogger("closer.parts")
_DRAIN_S = 20.0  # calls in flight end; with what follows it stays under the 30 s that supervisors grant
_SETTLE_S = 5.0
GOODBYE_S = _DRAIN_S + _SETTLE_S + 3.0
_HELLO_S = 5.0
_HEARTBEAT_S = 5.0
_PRUNE_S = 60.0


class Parts:
    """The parts of a worker, each a room of its own, and how they hang together."""

    def __init__(self, settings: Settings, publish: Publish, consume: Callable[[bool], None], name: str) -> None:
        """`consume` is told whether this worker may take task messages, from the loop's thread."""
        health.prepare(settings)
        self.name = name
        self._settings = settings
        self.permission = Permission(tell=consume)
        self.redis = connect(settings)
        self.ledger = Ledger(self.redis, deadline_s=settings.retry_deadline, api=api_address(settings.api_base_url))
        self.api = SortedApi(
            base_url=settings.api_base_url,
            key=settings.need_api_key(),
            version=settings.api_version,
            timeout_s=settings.request_timeout,
            connections=settings.concurrency,
        )
        self._policy = FleetPolicy(
            settings.retry_deadline, settings.rate_limit, settings.events_stream, settings.event_types or ""
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
        self._signs = Trouble("signs of life (`closer health`)")
        self._watch = health.Watch(health.IDLE_S)
        self._stopping = False

    async def hello(self) -> None:
        """Introduce this worker; while the store is away, its first sign of life will. Raises ForeignApi."""
        try:
            async with asyncio.timeout(_HELLO_S):
                await self._introduce()
        except (StoreUnavailable, LedgerBroken, TimeoutError) as error:
            _log.warning("%s; waiting for it", str(error) or "the store does not answer in time")

    async def _introduce(self) -> None:
        """Set the fleet's policy, name this worker's key to the ledger, and begin with few calls.

        Whether the API knows the key is not yet seen.
        """
        await self.ledger.start(self._policy)
        self.permission.key = key_name(await self.ledger.identity(), self._settings.need_api_key())
        await self._say_alive()
        await self.ledger.start_slowly(self.permission.key)
        await warn_of_eviction(self.redis)
        self._introduced.set()

    def background(self, opened: asyncio.Event) -> list[Part]:
        """Everything that runs for as long as the process, and how each ends."""
        # Intake and sweep finish their step: what they hold, read but not received, due but not published, would else
        # wait until somebody misses it.
        going = [
            Part("intake", self._keep_going("intake", self.intake.step, opened, self._introduced), End.FINISHES),
            Part("sweep", self._keep_going("sweep", self.sweep.step, opened, self._introduced), End.FINISHES),
        ]
        steps = {"health": self._health, "prune": self._prune, "inspection": self.inspection.step}
        going += [Part(name, self._keep_going(name, step, opened), End.CANCELLED) for name, step in steps.items()]
        return [
            Part("settler", self.settler.run(), End.LAST),
            Part("heartbeat", self._keep_going("heartbeat", self._heartbeat), End.CANCELLED),
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
        await within(1.0, self.ledger.beat(self.name, None), "the store did not take this worker's goodbye")
        with suppress(OSError, NotPrivate):  # a sign that is left behind is known to be a dead worker's
            health.remove(self._settings, os.getpid())
        await within(1.0, self.api.aclose(), "connections to the API did not close")
        await within(1.0, self.redis.aclose(), "connections to the store did not close")

    async def _keep_going(self, name: str, step: Callable[[], Awaitable[None]], *after: asyncio.Event) -> None:
        """Repeat a step until the process stops; while the store is away, wait longer and longer, and say so once."""
        for event in after:
            await event.wait()
        trouble, waits = Trouble(name), pauses()
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

    async def _health(self) -> None:
        stuck = self._watch.stuck(
            now_s=health.now_s(),
            on_their_way=self.sweep.on_their_way,
            taken_s=self.messages.taken_at,
            busy=self.pool.busy or self.permission.suspended,
        )
        self._give_sign(stuck=stuck)
        if stuck:
            raise CloserError("messages are on their way, and Celery's consumer, though connected, takes none")
        await asyncio.sleep(health.BEAT_S)

    def _give_sign(self, *, stuck: bool) -> None:
        try:
            sign = health.own_sign(self._trouble(), stuck=stuck, suspended=self.permission.suspended)
            health.write(self._settings, sign)
        except (OSError, NotPrivate) as error:  # a full disk is no reason to stop closing groups
            self._signs.begins(error)
        else:
            self._signs.ends()

    def _trouble(self) -> str:
        return redact(self.settler.trouble.text or self.messages.trouble.text)

    async def _heartbeat(self) -> None:
        if self._introduced.is_set():
            await self.ledger.hold_api()  # the ledger may have been moved to another API meanwhile
            await self._say_alive()
        else:
            await self._introduce()
        await asyncio.sleep(_HEARTBEAT_S)

    async def _say_alive(self) -> None:
        await self.ledger.beat(
            self.name,
            {
                "api": api_address(self._settings.api_base_url),
                "policy": self._policy.as_fields(),
                "in_flight": self.pool.in_flight,
                "waiting": self.pool.waiting,
                "settled": self.settler.settled,
                "lost_leases": self.settler.lost_leases,
                "trouble": self._trouble(),
                "key": self.permission.key,
                "log_lines_lost": logs.lost(),
            },
        )

    async def _prune(self) -> None:
        forgotten = await self.ledger.prune(keep_s=self._settings.retain_closed_days * 86_400)
        await asyncio.sleep(0.1 if forgotten else _PRUNE_S)
