"""Gives a worker's signs of life: the heartbeat in the ledger, and the file that `closer health` reads."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, NamedTuple

from tasks.api.address import api_address
from tasks.errors import CloserError, LedgerBroken, StoreUnavailable
from tasks.ledger.ledger import Ledger
from tasks.ledger.policy import FleetPolicy
from tasks.outage_log import OutageLog
from worker.attempts.batches import Batches
from worker.attempts.permission import Permission, key_name
from worker.attempts.pool import AttemptPool
from worker.attempts.settler import Settler
from worker.dispatch.sweep import Sweep
from worker.observe import logs
from worker.observe.redaction import redact
from worker.patience import within
from worker.private import NotPrivate
from worker.process import liveness
from worker.process.admission import Admission
from worker.process.signs import Signs, now_s, own_sign
from worker.settings import Settings
from worker.store.connect import warn_of_eviction

_log = logging.getLogger("closer.vitals")
_HELLO_S = 5.0
_HEARTBEAT_S = 5.0


class AtWork(NamedTuple):
    """The components whose work the signs of life describe."""

    pool: AttemptPool
    settler: Settler
    batches: Batches
    sweep: Sweep


class Vitals:
    """Introduces the worker to the ledger. From then on it reports that the worker lives and how its work goes."""

    def __init__(
        self,
        settings: Settings,
        name: str,
        ledger: Ledger,
        permission: Permission,
        introduced: asyncio.Event,
        work: AtWork,
        signs: Signs,
    ) -> None:
        """`name`: the worker's name. `introduced` is set here when the ledger knows the worker."""
        self._settings = settings
        self._name = name
        self._ledger = ledger
        self._permission = permission
        self._introduced = introduced
        self._work = work
        self._signs = signs
        self._policy = FleetPolicy(
            settings.retry_deadline, settings.rate_limit, settings.events_stream, settings.event_types or "",
            settings.close_delay, settings.cancel_event_types or "",
        )  # fmt: skip
        self._admission = Admission(ledger, settings.events_stream)
        self._signs_outages = OutageLog("signs of life (`closer health`)")
        self._watch = liveness.Watch(liveness.IDLE_S)

    async def hello(self) -> None:
        """Introduce this worker within five seconds. If that fails for now, its first heartbeat does it.

        That is so while the store is away, older workers run, or an older ledger is being moved. Raises
        ConfigurationError (with ForeignApi and NewerLedger) when this worker must not begin.
        """
        try:
            async with asyncio.timeout(_HELLO_S):
                await self._introduce()
        except (StoreUnavailable, LedgerBroken, TimeoutError) as error:
            late = "the ledger is still being moved" if self._admission.moving else "the store does not answer in time"
            _log.warning("%s; waiting for it", str(error) or late)

    async def heartbeat(self) -> None:
        """Write a heartbeat into the ledger, then wait five seconds.

        Raises StoreUnavailable and LedgerBroken, which pass. Raises ConfigurationError (with ForeignApi and
        NewerLedger), which ends the process.
        """
        if self._introduced.is_set():
            await self._ledger.policy.hold_api()  # an operator may have moved the ledger to another API meanwhile
            await self._say_alive()
            await self._admission.look()
        else:
            await self._introduce()
        await asyncio.sleep(_HEARTBEAT_S)

    async def health(self, consuming: asyncio.Event) -> None:
        """Write the sign for `closer health`, then wait two seconds. `consuming` is set when Celery takes messages.

        Raises CloserError, which ends the process, when Celery's consumer is connected and takes no messages.
        """
        stuck = self._watch.stuck(
            now_s=now_s(),
            on_their_way=self._work.sweep.on_their_way,
            taken_s=self._work.batches.taken_at,
            busy=self._work.pool.busy or self._permission.suspended,
        )
        self._give_sign(stuck=stuck, begun=self._introduced.is_set() and consuming.is_set())
        if stuck:
            raise CloserError("messages are on their way, and Celery's consumer, though connected, takes none")
        await self._until_next_sign(consuming)

    async def _until_next_sign(self, consuming: asyncio.Event) -> None:
        """Wait two seconds, but no longer than until this worker begins: who waits for it is told at once."""
        missing = next((event for event in (self._introduced, consuming) if not event.is_set()), asyncio.Event())
        with suppress(TimeoutError):
            async with asyncio.timeout(liveness.SIGN_EVERY_S):
                await missing.wait()

    async def goodbye(self) -> None:
        """Remove the worker's heartbeat and its sign. Errors are ignored or logged, because the process ends anyway."""
        await within(
            1.0, self._ledger.heartbeats.write(self._name, None), "the store did not take this worker's goodbye"
        )
        self._signs.remove(own_sign())

    async def _introduce(self) -> None:
        """Set the fleet's policy, tell the ledger the name of this worker's key, and begin with few calls.

        Few calls, because nobody knows yet whether the API accepts the key. A crash here repeats all of it.
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

    def _give_sign(self, *, stuck: bool, begun: bool) -> None:
        sign = own_sign(self._trouble(), stuck=stuck, suspended=self._permission.suspended, introduced=begun)
        try:
            self._signs.write(sign)
        except (OSError, NotPrivate) as error:  # a full disk must not stop the closing of groups
            self._signs_outages.begins(error)
        else:
            self._signs_outages.ends()

    def _trouble(self) -> str:
        """Return what keeps the worker from its work, without secrets and in valid UTF-8, which the scripts need."""
        text = redact(self._work.settler.outages.text or self._work.batches.outages.text)
        return text.encode("utf-8", "backslashreplace").decode()
