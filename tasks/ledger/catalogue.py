"""The reading side of the ledger: it counts closures, and returns those that match a query in pages.

Each script call looks through about a thousand closures, so it never blocks the store for more than a few milliseconds.
This process holds only the closures that match.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tasks.closure import Closure, Reason, State
from tasks.events.event import is_reference
from tasks.ledger.codec import closure_of
from tasks.ledger.gate import Gate
from tasks.ledger.heartbeat import read_heartbeat
from tasks.ledger.scripts import Scripts, translated
from tasks.ledger.summary import Summary
from tasks.namespace import DEFAULT_NAMESPACE, Namespace

_STRETCH = 1000
_RETURNED = 500

Order = Literal["newest", "oldest"]
GroupBy = Literal["reason", "source", "code"]


@dataclass(frozen=True, slots=True)
class Query:
    """Conditions that a closure must all meet. An empty tuple or None is not a condition.

    `since_ms`, `until_ms`: the first and the last time at which the closure may have entered its state (ms since the
    epoch, both included). `statuses`, `codes`: the HTTP status, as text, and the API's error code of the last attempt.
    `sources`: the source of the event. `attempts_over`: the closure has had more attempts than this. `prefix`: the
    reference begins with this. `text`: the identities or the history contain this, in either case.
    """

    states: tuple[State, ...] = ()
    reasons: tuple[Reason, ...] = ()
    statuses: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    attempts_over: int | None = None
    prefix: str | None = None
    text: str | None = None

    @property
    def indexes(self) -> list[str]:
        """The names of the indexes that together hold every closure that can match. Empty when no closure can match."""
        if not self.reasons:
            return [state.value for state in self.states or State]
        return [f"failed:{reason}" for reason in self.reasons] if State.FAILED in (self.states or State) else []

    def index_of(self, closure: Closure) -> str:
        """The name of the index, one of `indexes`, in which this matching closure was found."""
        return f"failed:{closure.reason}" if self.reasons else closure.state.value

    def as_argument(self) -> str:
        """The query as the JSON that `lua/scan.lua` reads. Conditions that are not set are left out."""
        conditions: dict[str, Any] = {
            "indexes": self.indexes, "since": self.since_ms, "until": self.until_ms, "statuses": self.statuses,
            "codes": self.codes, "sources": self.sources, "over": self.attempts_over, "prefix": self.prefix,
            "text": self.text,
        }  # fmt: skip
        return json.dumps({name: value for name, value in conditions.items() if value is not None and value != ()})


class Cursor(NamedTuple):
    """A place in the order of closures. It stays valid while closures come and go.

    `entered_ms`, `among` and `reference` are the time, the index and the reference of the last closure that was read.
    The next page begins after it. All three are empty at the start.
    """

    entered_ms: str
    among: str
    reference: str

    def __str__(self) -> str:
        return ":".join(self)

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Read what `str` wrote. Raises ValueError for any other text."""
        entered, _, rest = text.partition(":")
        index, _, reference = rest.rpartition(":")
        if not (entered.isascii() and entered.isdigit() and index and is_reference(reference)):
            raise ValueError("a cursor looks like 1767225600000:failed:REFERENCE, as the page before ended with")
        return cls(entered, index, reference)


_START = Cursor("", "", "")


@dataclass(frozen=True, slots=True)
class Page:
    """Some closures, and the cursor to read the next page with. It is None when these were the last."""

    closures: list[Closure]
    next: Cursor | None


@dataclass(slots=True)
class Group:
    """The number of closures that have one value in common, and the one that has been in its state for longest.

    `oldest_ms`: when that one entered its state (ms since the epoch).
    """

    count: int
    oldest_ms: int
    oldest_reference: str


class Catalogue:
    """Reads the ledger behind `redis`, and changes nothing. Every method may raise StoreUnavailable and LedgerBroken.

    All its scripts are marked `no-writes`, so they also run on a store that is full or is a read-only replica.
    """

    def __init__(
        self, redis: Redis, *, namespace: Namespace = DEFAULT_NAMESPACE, clock: Callable[[], int] | None = None
    ) -> None:
        """`namespace`: the fleet whose ledger is read. `clock` (ms) replaces the store's clock in tests."""
        self._redis = redis
        self._clock = clock
        self._group = namespace.group
        self._scripts = Scripts(redis, namespace.prefix, 0.0, clock)

    async def summary(self, stream: str) -> Summary:
        """Return the counts of the whole ledger, and the backlog of `stream`, the one that events come on."""
        numbers_list, gate, workers_list = await self._scripts.run(
            "summary", " ".join(Reason), self._group, keys=(stream,)
        )
        numbers, workers = (list(zip(flat[::2], flat[1::2], strict=True)) for flat in (numbers_list, workers_list))
        counts = {_text(name): int(float(value)) for name, value in numbers}
        return Summary(
            now_ms=counts["now"],
            states={state: counts[state] for state in State},
            failed={reason: counts[f"failed:{reason}"] for reason in Reason if f"failed:{reason}" in counts},
            closed_last_minute=counts["last_minute"],
            closed_last_hour=counts["last_hour"],
            oldest_open_ms=counts.get("oldest_open"),
            waiting=counts["waiting"],
            held_long=counts["held_long"],
            cancelled=counts["cancelled"],
            late=counts["late"],
            late_groups=_beginning_with("late:", counts),
            rejected=counts["rejected"],
            backlog=counts["backlog"],
            gate=Gate.parse(gate),
            workers=[read_heartbeat(name, said) for name, said in workers],
            waiting_types=_beginning_with("waiting_type:", counts),
            seen_types=_beginning_with("seen_type:", counts),
        )

    async def page(
        self,
        query: Query,
        *,
        limit: int,
        order: Order = "newest",
        cursor: Cursor | None = None,
        looks: int | None = None,
    ) -> Page:
        """Return up to `limit` closures (at least 1) after `cursor`, and the cursor of the next page if there are more.

        Without a cursor it starts at the newest or at the oldest closure, as `order` says. `looks`: how many times it
        may look through about a thousand closures; then the page ends, perhaps without any closure, and its cursor
        says where to go on.
        """
        closures: list[Closure] = []
        # It asks for one more closure than the caller wants. If that one comes, there is a next page.
        async for rows, place in self._stretches(query, "records", order, cursor or _START, limit + 1):
            closures.extend(_closure(*rows[at : at + 6]) for at in range(0, len(rows), 6))
            looks = looks and looks - 1
            if looks == 0 and len(closures) <= limit:
                return Page(closures, None if place == _START else place)
        if len(closures) <= limit:
            return Page(closures, None)
        last = closures[limit - 1]
        return Page(closures[:limit], Cursor(str(last.entered_ms), query.index_of(last), last.reference))

    async def references(self, query: Query) -> AsyncIterator[tuple[str, State, int]]:
        """Yield each closure that matches, oldest first: reference, state, when it entered that (ms since the epoch).

        Closures that enter their state after the call began are left out, so the iteration ends.
        """
        async for rows in self._ahead(await self._until_now(query)):
            for reference, state, at_ms in zip(rows[::3], rows[1::3], rows[2::3], strict=True):
                yield reference.decode(), State(state.decode()), int(at_ms)

    async def groups(self, query: Query, by: GroupBy) -> dict[str | None, Group]:
        """Count the closures that match by reason, source or error code. The key None counts those that have none."""
        return (await self.some_groups(query, by))[0]

    async def some_groups(
        self, query: Query, by: GroupBy, *, cursor: Cursor | None = None, looks: int | None = None
    ) -> tuple[dict[str | None, Group], Cursor | None]:
        """Count as `groups` does, after `cursor`; return also where to go on, None when all were counted.

        `looks`: how many times it may look through about a thousand closures.
        """
        groups: dict[str | None, Group] = {}
        async for rows, place in self._stretches(query, by, "oldest", cursor or _START, None):
            for at in range(0, len(rows), 4):
                value, count, oldest, reference = rows[at : at + 4]
                # The rows come oldest first, so the first closure of a value is its oldest.
                fresh = Group(0, int(oldest), reference.decode())
                groups.setdefault(value.decode() or None, fresh).count += int(count)
            looks = looks and looks - 1
            if looks == 0:
                return groups, None if place == _START else place
        return groups, None

    async def _stretches(
        self, query: Query, wanted: str, order: Order, cursor: Cursor, limit: int | None
    ) -> AsyncIterator[tuple[list[Any], Cursor]]:
        """Yield the rows of each script call and where it ended, until there are no more or `limit` closures came.

        The last of all ends at _START.
        """
        # A closure that changes its state moves to the newest end. Without a last time, a reading could go on for ever.
        query = await self._until_now(query) if order == "oldest" else query
        per_row = 6 if wanted == "records" else 4
        left = limit
        while query.indexes and left != 0:
            room = _STRETCH if left is None or wanted != "records" else min(left, _RETURNED)
            rows, cursor = await self._scan(query, wanted, order, cursor, room)
            yield rows, cursor
            left = left if left is None else left - len(rows) // per_row
            if cursor == _START:
                return

    async def _ahead(self, query: Query) -> AsyncIterator[list[Any]]:
        """Yield the rows of all references, and have the store look for the next ones meanwhile."""
        coming = asyncio.create_task(self._scan(query, "references", "oldest", _START, _STRETCH))
        try:
            while query.indexes:
                rows, cursor = await coming
                if cursor == _START:
                    yield rows
                    return
                coming = asyncio.create_task(self._scan(query, "references", "oldest", cursor, _STRETCH))
                yield rows
        finally:
            coming.cancel()

    async def _scan(
        self, query: Query, wanted: str, order: Order, cursor: Cursor, room: int
    ) -> tuple[list[Any], Cursor]:
        ended_ms, index, ended, *rows = await self._scripts.run(
            "scan", query.as_argument(), order, *(_bytes(part) for part in cursor), _STRETCH, room, wanted
        )
        return rows, Cursor(ended_ms.decode(), index.decode(), ended.decode("utf-8", "surrogateescape"))

    async def _until_now(self, query: Query) -> Query:
        now_ms = await self.now_ms()
        return replace(query, until_ms=min(query.until_ms or now_ms, now_ms))

    async def now_ms(self) -> int:
        """Return the time by the store's clock (ms since the epoch)."""
        if self._clock:
            return self._clock()
        try:
            seconds, microseconds = await self._redis.time()
        except (RedisError, OSError) as error:
            raise translated(error) from error
        return int(seconds * 1000 + microseconds // 1000)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _bytes(part: str) -> bytes:
    """Turn a cursor's part back into the store's bytes. Another program may have put any bytes into an index."""
    return part.encode("utf-8", "surrogateescape")


def _beginning_with(beginning: str, counts: dict[str, int]) -> dict[str, int]:
    return {name.removeprefix(beginning): count for name, count in counts.items() if name.startswith(beginning)}


def _closure(reference: bytes, *row: bytes) -> Closure:
    closure = closure_of(reference.decode(), list(row))
    assert closure is not None  # the row is not empty
    return closure
