"""The ledger holds every closure in Redis or Valkey. It alone decides what is to be done next."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError

from tasks.ledger.alerts import AlertLease
from tasks.ledger.audit import Audit
from tasks.ledger.bulk import BulkActions
from tasks.ledger.catalogue import Catalogue
from tasks.ledger.closures import Closures
from tasks.ledger.dead_letters import DeadLetters
from tasks.ledger.event_stream import EventStreams
from tasks.ledger.fleets import other_fleets
from tasks.ledger.gate import GateControl
from tasks.ledger.heartbeat import Heartbeats
from tasks.ledger.holds import Holds
from tasks.ledger.inspection import Inspector
from tasks.ledger.measures import Measures
from tasks.ledger.notices import Notices
from tasks.ledger.old_prefix import NO_OLD_LEDGER, OldLook, look
from tasks.ledger.policy import FleetPolicies
from tasks.ledger.scripts import Scripts, translated
from tasks.ledger.tokens import TokenStore
from tasks.namespace import DEFAULT_NAMESPACE, Namespace


class Ledger(Closures):
    """The closures in the store behind `redis`. Its attributes give access to everything else that the ledger holds."""

    def __init__(
        self,
        redis: Redis,
        *,
        deadline_s: float = 86_400.0,
        namespace: Namespace = DEFAULT_NAMESPACE,
        api: str = "",
        clock: Callable[[], int] | None = None,
        stopwatch: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`deadline_s`: for how many seconds a closure is tried, until a worker has written the fleet's policy.

        `namespace`: the fleet whose closures these are.

        `api`: the address of the API that this process calls, see `api_address`; "" when it calls none.

        `clock`, `stopwatch`, `sleep`: replacements for tests, see `Scripts`.
        """
        self.redis = redis
        self.namespace = namespace
        self.prefix = namespace.prefix
        scripts = Scripts(redis, namespace.prefix, deadline_s, clock, stopwatch, sleep)
        super().__init__(scripts, api)
        self.catalogue = Catalogue(redis, namespace=namespace, clock=clock)
        self.gate = GateControl(scripts)
        self.audit = Audit(scripts)
        self.dead_letters = DeadLetters(scripts)
        self.events = EventStreams(scripts, namespace.group)
        self.heartbeats = Heartbeats(scripts)
        self.holds = Holds(scripts)
        self.bulk = BulkActions(scripts)
        self.inspector = Inspector(scripts)
        self.policy = FleetPolicies(scripts, api)
        self.notices = Notices(scripts)
        self.tokens = TokenStore(scripts)
        self.measures = Measures(scripts, namespace.group)

    def alert_lease(self, name: str) -> AlertLease:
        """Return the lease of the fleet's notifier, for the one of this name."""
        return AlertLease(self._scripts, name)

    async def identity(self) -> str:
        """Return the ledger's own name. The first call makes it, and it never changes.

        It salts the names of API keys. Raises StoreUnavailable and LedgerBroken.
        """
        name: bytes = await self._scripts.run("identify", uuid.uuid4().hex)
        return name.decode()

    async def older(self) -> OldLook:
        """Look for the ledger and for workers of an older release, which can only be the default fleet's.

        Raises StoreUnavailable and LedgerBroken.
        """
        return await look(self.redis) if self.namespace.is_default else NO_OLD_LEDGER

    async def other_fleets(self, stream: str) -> list[str]:
        """Return the names of the consumer groups that other fleets of closer have on this stream.

        Raises StoreUnavailable and LedgerBroken.
        """
        return await other_fleets(self.redis, stream, self.namespace)

    async def store_info(self) -> dict[str, Any] | None:
        """Return the store's INFO, or None where this user has no permission to ask.

        Raises StoreUnavailable and LedgerBroken.
        """
        try:
            told: dict[str, Any] = await self.redis.info("everything")
        except NoPermissionError:
            return None
        except (RedisError, OSError) as error:
            raise translated(error, self.prefix) from error
        return told

    async def kinds(self, names: Sequence[str]) -> list[str] | None:
        """Return the type of each key by the store's TYPE command, "none" for a key that is not there.

        `names`: the keys' names without the fleet's prefix. Returns None when the store's ACL forbids TYPE. Raises
        StoreUnavailable and LedgerBroken.
        """
        try:
            async with self.redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.type(self.prefix + name)
                return [kind.decode() for kind in await pipe.execute()]
        except NoPermissionError:
            return None
        except (RedisError, OSError) as error:
            raise translated(error, self.prefix) from error
