"""Sends alerts: the one notifier of the fleet follows the notices, and tells what no script can tell.

Each step is short and ends before the lease does. A crash between the delivery of a message and the moving of the
cursor has the next notifier send that one message again, with the same id; everything else is sent once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from tasks.errors import CloserError
from tasks.ledger.alerts import Delivery
from tasks.ledger.ledger import Ledger
from tasks.ledger.notices import Notice
from tasks.outage_log import OutageLog
from worker.observe.webhook import WAIT_S, Message, Webhook
from worker.operations.alerts import Alert, alert_of, missed, troubles
from worker.operations.context import OperatorContext
from worker.operations.operator import Operator, Role
from worker.operations.snapshot import take
from worker.patience import pauses
from worker.settings import Settings

_log = logging.getLogger("closer.alerts")
LEASE_S = 3 * WAIT_S
_OTHERS_S = 5.0  # how often one that has no lease asks for it
_LOOK_S = 1.0
_STANDS_S = 60.0  # a trouble that is over sooner, as during a restart, is none
_GIVEN_UP_MS = 3_600_000
_PAUSE_MOST_S = 60.0
_WATCH = Operator("closer", Role.VIEWER, "alerts")


@dataclass(slots=True)
class _Pending:
    """A message that is to be sent, and the cursor behind what it is about."""

    message: Message
    at_ms: int
    cursor: str
    tries: int = 0
    not_before_s: float = 0.0


class Undelivered(Exception):
    """The receiver did not take a message."""


class Notifier:
    """Sends the fleet's alerts while it holds the lease. Nothing waits for it."""

    def __init__(self, context: OperatorContext, webhook: Webhook, name: str, stands_s: float = _STANDS_S) -> None:
        """`name`: this process's name. `stands_s`: how long a trouble must stand until it is told (s)."""
        self._context = context
        self._lease = context.ledger.alert_lease(name)
        self._webhook = webhook
        self._stands_s = stands_s
        self._pending: _Pending | None = None
        self._since_s: dict[str, float] = {}
        self._texts: dict[str, str] = {}
        self._outages = OutageLog("alerts")
        self._identity = ""

    @classmethod
    def of(cls, settings: Settings, ledger: Ledger, name: str) -> Notifier | None:
        """Return the notifier for the webhook of these settings, None if there is none."""
        webhook = Webhook.of(settings)
        return cls(OperatorContext(_WATCH, settings, ledger), webhook, name) if webhook else None

    async def step(self) -> None:
        """Do what is to be done now, then wait until there may be more. Raises CloserError.

        Any other error is a fault of this notifier. It is logged, and must not end the worker.
        """
        try:
            await self._step()
        except CloserError:
            raise
        except Exception:
            _log.exception("no alerts can be sent for now")
            await asyncio.sleep(_OTHERS_S)

    async def run(self) -> None:
        """Repeat the steps until cancelled, and wait while the store is away. For a process that has no supervisor."""
        outages, waits = OutageLog("alerts"), pauses()
        while True:
            try:
                await self.step()
            except CloserError as error:
                outages.begins(error)
                await asyncio.sleep(next(waits))
            else:
                outages.ends()
                waits = pauses()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._webhook.aclose()

    async def _step(self) -> None:
        cursor = await self._lease.hold(LEASE_S)
        if cursor is None:
            self._pending = None
            await asyncio.sleep(_OTHERS_S)
        elif not await self._go_on(cursor):
            await asyncio.sleep(_LOOK_S)

    async def _go_on(self, cursor: str) -> bool:
        """Return whether there may be more to do at once."""
        await self._look()
        self._pending = self._pending or await self._next(cursor)
        if self._pending is None or time.monotonic() < self._pending.not_before_s:
            return False
        await self._deliver(self._pending)
        return self._pending is None

    async def _look(self) -> None:
        """Tell which troubles have stood for long enough, and which are over."""
        found, now_s = troubles(await take(self._context)), time.monotonic()
        self._since_s = {what: self._since_s.get(what, now_s) for what in found}
        self._texts = {what: self._texts.get(what, text) for what, text in found.items()}
        await self._lease.troubles(
            {what: text for what, text in self._texts.items() if now_s - self._since_s[what] >= self._stands_s}
        )

    async def _next(self, cursor: str) -> _Pending | None:
        """Return the next message. What needs none is passed over."""
        notices = self._context.ledger.notices
        page = await notices.read(after=cursor)
        if page.missed:  # somewhere in the page; one by one it is found
            page = await notices.read(after=cursor, limit=1)
        if page.missed:
            entry_id, _, number = cursor.partition("/")
            told = missed(page.missed, await self._context.now_ms())
            return await self._message(told, f"missed-{entry_id}", f"{entry_id}/{int(number) + page.missed}")
        for one in page.notices:
            if isinstance(one, Notice) and (alert := alert_of(one)):
                return await self._message(alert, one.name, one.cursor)
            await self._lease.done(one.cursor if isinstance(one, Notice) else page.cursor, None)
        return None

    async def _message(self, alert: Alert, name: str, cursor: str) -> _Pending:
        self._identity = self._identity or await self._context.ledger.identity()
        body = alert.as_json(self._context.settings.namespace)
        return _Pending(Message(f"{self._identity[:12]}-{name}", body), alert.at_ms, cursor)

    async def _deliver(self, pending: _Pending) -> None:
        age_ms = await self._context.now_ms() - pending.at_ms
        if age_ms > _GIVEN_UP_MS:
            _log.error("an alert is given up after an hour: %s", pending.message.body["text"])
            await self._done(pending, Delivery.EXPIRED)
            return
        problem = await self._webhook.send(pending.message)
        if problem is None:
            self._outages.ends()
            await self._done(pending, Delivery.DELIVERED)
            return
        self._outages.begins(Undelivered(f"{problem}; each alert is tried again for an hour"))
        pending.not_before_s = time.monotonic() + min(2.0**pending.tries, _PAUSE_MOST_S)
        pending.tries += 1
        await self._lease.failed()

    async def _done(self, pending: _Pending, outcome: Delivery) -> None:
        await self._lease.done(pending.cursor, outcome)
        self._pending = None
