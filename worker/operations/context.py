"""Holds what every operation works with: who acts, the connections, the ledger and the settings."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tasks.errors import StoreUnavailable
from tasks.events.event_type import EventTypes
from tasks.ledger.ledger import Ledger
from tasks.ledger.old_prefix import OldState
from worker.construct import ledger_of
from worker.operations.operator import Chosen, Operator, Verb, guard
from worker.settings import Settings
from worker.store.connect import Redis, connect


@dataclass(frozen=True, slots=True)
class OperatorContext:
    """What every operation is given.

    `operator`: who acts. `settings`: this process's own; where the fleet has a policy, that counts instead. `ledger`:
    the fleet's.
    """

    operator: Operator
    settings: Settings
    ledger: Ledger

    @classmethod
    def of(cls, operator: Operator, settings: Settings, redis: Redis) -> OperatorContext:
        """Make a context on a pool of connections that the caller closes."""
        return cls(operator, settings, ledger_of(settings, redis))

    def guard(
        self, verb: Verb, selection: Chosen | None = None, why: str = "", *, confirmed: int | None = None
    ) -> None:
        """Raises Refused when the operator may not do this. Every operation calls it first. Arguments as of `guard`."""
        guard(self.operator, verb, selection, why, confirmed=confirmed)

    async def stream(self) -> str:
        """Return the stream that events come on: the fleet's, or the one in our settings before any worker has started.

        Raises StoreUnavailable.
        """
        policy = await self.ledger.policy.read()
        return policy.stream if policy else self.settings.events_stream

    async def types(self) -> EventTypes:
        """Return the accepted types of events: the fleet's, or those in our settings before any worker has started.

        Raises StoreUnavailable.
        """
        policy = await self.ledger.policy.read()
        return policy.types if policy else self.settings.accepted_types

    async def older_ledger_waits(self) -> bool:
        """Return whether an older release's ledger waits in the store until this fleet's first worker moves it.

        Raises StoreUnavailable.
        """
        return (await self.ledger.older()).state is OldState.WAITS

    async def now_ms(self) -> int:
        """Return the time by the store's clock, in ms since the epoch. No other clock counts.

        Raises StoreUnavailable.
        """
        return await self.ledger.catalogue.now_ms()

    def key(self, name: str) -> str:
        """Return the full name of one of the fleet's keys in the store."""
        return self.ledger.prefix + name


class StoreAway(StoreUnavailable):
    """The store cannot be asked.

    `address`: the one that was tried, without secrets. `embedded`: whether it is the embedded store's, because
    CLOSER_REDIS_URL is not set. `problem`: the error itself.
    """

    def __init__(self, text: str, address: str, *, embedded: bool) -> None:
        why = "the embedded store, because CLOSER_REDIS_URL is not set" if embedded else "CLOSER_REDIS_URL"
        super().__init__(f"{text}\nTried {address} ({why}). Is that the address, and does the server run?")
        self.address = address
        self.embedded = embedded
        self.problem = text


@asynccontextmanager
async def open_context(operator: Operator, settings: Settings) -> AsyncIterator[OperatorContext]:
    """Connect to the store, and close the connections at the end. Raises StoreAway when the store fails meanwhile."""
    redis = connect(settings)
    try:
        yield OperatorContext.of(operator, settings, redis)
    except StoreUnavailable as error:
        raise StoreAway(str(error), settings.public_store_address, embedded=settings.embedded) from error
    finally:
        await redis.aclose()
