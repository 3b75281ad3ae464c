"""A worker's signs of life: its heartbeat in the ledger, and the file that `closer health` reads on this machine."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from typing import Any, NamedTuple

from tasks.api.address import api_address
from tasks.errors import CloserError, LedgerBroken, StoreUnavailable
from tasks.ledger.ledger import Ledger
from tasks.ledger.policy import FleetPolicy
from tasks.outage_log import OutageLog
from worker.attempts.permission import Permission, key_name
from worker.attempts.pool import AttemptPool
from worker.attempts.settler import Settler
from worker.dispatch.sweep import Sweep
from worker.intake.task_message import TaskMessages
from worker.observe import logs
from worker.observe.redaction import redact
from worker.patience import within
from worker.private import NotPrivate
from worker.process import liveness
from worker.process.admission import Admission
from worker.settings import Settings
from worker.store.connect import warn_of_eviction

_log = logging.getLogger("closer.vitals")
_HELLO_S = 5.0
_HEARTBEAT_S = 5.0


class AtWork(NamedTuple):
    """The components whose work the signs of life tell of."""

    pool: AttemptPool
    settler: Settler
    messages: TaskMessages
    sweep: Sweep


class Vitals:
    """Introduces the worker to the ledger, and says from then on that it lives and how its work goes."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        ledger: Ledger,
        permission: Permission,
        introduced: asyncio.Event,
        work: AtWork,
    ) -> None:
        """`name`: the worker's. `introduced` is set when the ledger knows it."""
        self._settings = settings
        self._name = name
        self._ledger = ledger
        self._permission = permission
        self._introduced = introduced
        self._work = work
        self._policy = FleetPolicy(
            settings.retry_deadline, settings.rate_limit, settings.events_stream, settings.event_types or ""
        )
        self._admission = Admission(ledger, settings.events_stream)
        self._signs = OutageLog("signs of life (`closer health`)")
        self._watch = liveness.Watch(liveness.IDLE_S)

    async def hello(self) -> None:
        """Introduce this worker; while the store is away or older workers run, its first heartbeat will.

        Raises ForeignApi and NewerLedger.
        """
        try:
            async with asyncio.timeout(_HELLO_S):
                await self._introduce()
        except (StoreUnavailable, LedgerBroken, TimeoutError) as error:
            late = "the ledger is still being moved" if self._admission.moving else "the store does not answer in time"
            _log.warning("%s; waiting for it", str(error) or late)

    async def heartbeat(self) -> None:
        """Say in the ledger that the worker lives, then wait for the next time. Raises ForeignApi."""
        if self._introduced.is_set():
            await self._ledger.policy.hold_api()  # the ledger may have been moved to another API meanwhile
            await self._say_alive()
            await self._admission.look()
        else:
            await self._introduce()
        await asyncio.sleep(_HEARTBEAT_S)

    async def health(self) -> None:
        """Leave the sign for `closer health`, then wait for the next time. Raises CloserError when nothing is taken."""
        stuck = self._watch.stuck(
            now_s=liveness.now_s(),
            on_their_way=self._work.sweep.on_their_way,
            taken_s=self._work.messages.taken_at,
            busy=self._work.pool.busy or self._permission.suspended,
        )
        self._give_sign(stuck=stuck)
        if stuck:
            raise CloserError("messages are on their way, and Celery's consumer, though connected, takes none")
        await asyncio.sleep(liveness.SIGN_EVERY_S)

    async def goodbye(self) -> None:
        """Take the worker's signs away."""
        await within(
            1.0, self._ledger.heartbeats.write(self._name, None), "the store did not take this worker's goodbye"
        )
        with suppress(OSError, NotPrivate):  # a sign that is left behind is known to be a dead worker's
            liveness.remove(self._settings, os.getpid())

    async def _introduce(self) -> None:
        """Set the fleet's policy, name this worker's key to the ledger, and begin with few calls.

        Whether the API knows the key is not yet seen.
        """
        await self._admission.ask()
        await self._ledger.policy.start(self._policy)
        self._permission.key = key_name(await self._ledger.identity(), self._settings.need_api_key())
        await self._say_alive()
        await self._ledger.gate.start_slowly(self._permission.key)
        await warn_of_eviction(self._ledger.redis)
        self._introduced.set()

    async def _say_alive(self) -> None:
        pool, settler, *_ = self._work
        said: dict[str, Any] = {
            "api": api_address(self._settings.api_base_url),
            "policy": self._policy.as_fields(),
            "in_flight": pool.in_flight,
            "waiting": pool.waiting,
            "settled": settler.settled,
            "lost_leases": settler.lost_leases,
            "trouble": self._trouble(),
            "key": self._permission.key,
            "log_lines_lost": logs.lost(),
        }
        await self._ledger.heartbeats.write(self._name, said)

    def _give_sign(self, *, stuck: bool) -> None:
        try:
            sign = liveness.own_sign(
                self._trouble(),
                stuck=stuck,
                suspended=self._permission.suspended,
                introduced=self._introduced.is_set(),
            )
            liveness.write(self._settings, sign)
        except (OSError, NotPrivate) as error:  # a full disk is no reason to stop closing groups
            self._signs.begins(error)
        else:
            self._signs.ends()

    def _trouble(self) -> str:
        """What keeps the worker from its work, in characters that every script can read."""
        text = redact(self._work.settler.outages.text or self._work.messages.outages.text)
        return text.encode("utf-8", "backslashreplace").decode()
