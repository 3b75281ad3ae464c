"""The closures: each step of each one's life is one script call.

Each method is atomic (`lua/`), for any number of closures. Durations go in, and the store's clock decides: no worker's
clock is ever compared with another's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

from tasks.closure import Closure, Reason, State
from tasks.errors import ForeignApi, LedgerBroken
from tasks.events.event import GroupComplete
from tasks.ledger.scripts import Scripts, shown
from tasks.ledger.values import (
    Claim,
    Due,
    Observation,
    Received,
    Settled,
    Settlement,
    Unclaimed,
    Word,
    compact_json,
    pause_ms,
)

T = TypeVar("T")
_REASONS = " ".join(Reason)


class Closures:
    """Writes and reads closures. Every method raises StoreUnavailable or LedgerBroken."""

    def __init__(self, scripts: Scripts, api: str) -> None:
        """`api`: the address of the API that claims are called at."""
        self._scripts = scripts
        self._api = api

    async def receive(self, events: Sequence[GroupComplete]) -> list[Received]:
        """Write events down: after this they cannot be lost. Deduplicated by event and by group."""
        arguments = _arguments(_event_argument, events)
        return [Received(word.decode()) for word in await self._scripts.run("receive", _REASONS, *arguments)]

    async def due(self, *, limit: int, grace_s: float, most: int, key: str = "") -> Due:
        """Take up to `limit` references that must be looked at now; see `lua/due.lua`. `key`: the name of one's key."""
        row = await self._scripts.run("due", limit, int(grace_s * 1000), most, key)
        wait_ms, on_their_way, word, probe, *references = row
        return Due(
            [ref.decode() for ref in references],
            None if wait_ms < 0 else wait_ms / 1000,
            on_their_way,
            Word(*word),
            probe.decode() or None,
        )

    async def claim(
        self, references: Sequence[str], *, worker: str, lease_s: float, rate_limit: float = 0.0, key: str = ""
    ) -> dict[str, Claim | Unclaimed]:
        """Lease closures to `worker`. `rate_limit` is in calls per second over the whole fleet, 0 for none.

        Raises ForeignApi, and claims nothing, when the ledger is for another API.
        """
        between_ms, lease_ms = pause_ms(rate_limit), int(lease_s * 1000)
        rows = await self._scripts.run("claim", lease_ms, between_ms, worker, key, self._api, *references)
        if rows and rows[0][0] == b"foreign":
            raise ForeignApi(shown(rows[0][1]), self._api)
        return {ref: _claim(ref, row) for ref, row in zip(references, rows, strict=True)}

    async def undispatch(self, references: Sequence[str]) -> None:
        """Make queued closures due at once: their task message was not sent, or will not be worked on."""
        await self._scripts.run("undispatch", *references)

    async def settle(self, settlements: Sequence[Settlement], *, key: str = "", again: bool = False) -> Settled:
        """Write down what attempts came to. `key`: the name of the key that they were made with.

        `again`: some may be written already, because the store's answer did not come; those count as written.
        """
        arguments = _arguments(Settlement.as_argument, settlements)
        word, *written = await self._scripts.run("settle", key, "1" if again else "", *arguments)
        return Settled([row == 1 for row in written], Word(*word))

    async def requeue(
        self, references: Sequence[str], *, trigger: str = "requeue", lock: bool = False, audit: str = ""
    ) -> list[str]:
        """Queue failed closures again, with a new deadline: "done", "unknown", "unreadable", or the state it is in.

        What was changed is added to the audit's entry `audit` in the same step.
        """
        words = await self._scripts.run("operate", "requeue", trigger, "1" if lock else "", audit, *references)
        return [word.decode() for word in words]

    async def discard(self, references: Sequence[str], *, audit: str = "") -> list[str]:
        """Give up failed closures for good: "done", or why not, and `audit`, as above."""
        words = await self._scripts.run("operate", "discard", "", "", audit, *references)
        return [word.decode() for word in words]

    async def reconcile(self, observations: Sequence[Observation], *, audit: str, others: dict[str, int]) -> list[str]:
        """Write down what the API says, where the ledger disagrees: "done", "unknown", "agree" or "moved on".

        `others` counts, for the audit, those of the same chunk that agree or cannot be told.
        """
        flat = [
            word for ref, closed, since_ms in observations for word in (ref, "closed" if closed else "open", since_ms)
        ]
        return [word.decode() for word in await self._scripts.run("reconcile", audit, compact_json(others), *flat)]

    async def prune(self, *, keep_s: float, limit: int = 500) -> int:
        """Forget closures that ended more than `keep_s` ago; returns how many (at most twice `limit`)."""
        forgotten: int = await self._scripts.run("prune", int(keep_s * 1000), limit)
        return forgotten

    async def read(self, references: Sequence[str]) -> list[Closure | None]:
        """The closures of these references, None for unknown ones."""
        rows = await self._scripts.run("read", *references)
        return [_closure(ref, row) for ref, row in zip(references, rows, strict=True)]


def _arguments(as_argument: Callable[[T], str], items: Iterable[T]) -> list[str]:
    """The items as a script reads them. Raises LedgerBroken for one that cannot be written so, as the script would."""
    try:
        return [as_argument(item) for item in items]
    except (ValueError, OverflowError, TypeError) as error:
        raise LedgerBroken(f"closer cannot write this down ({type(error).__name__}: {error}); report it") from error


def _event_argument(event: GroupComplete) -> str:
    fields = {"ref": event.reference, "e": event.source, "i": event.event_id, "u": event.custom_reference,
              "t": event.time, "p": event.traceparent}  # fmt: skip
    return compact_json({name: value for name, value in fields.items() if value is not None})


def _claim(reference: str, row: list[Any]) -> Claim | Unclaimed:
    if row[0] != b"claimed":
        return Unclaimed(row[0].decode())
    lease, failures, missing, remaining_ms, wait_ms, at_ms = (int(value) for value in row[1:7])
    trigger, custom, traceparent = row[7].decode(), row[9].decode(), row[10].decode()
    return Claim(
        reference, lease, failures, missing, remaining_ms / 1000, wait_ms / 1000, at_ms,
        trigger, row[8] == 1, custom or None, traceparent or None, None if row[11] == b"" else row[11],
    )  # fmt: skip


def _closure(reference: str, row: list[Any]) -> Closure | None:
    if not row:
        return None
    raw, entered, agenda, state = row
    due = float(agenda) if agenda else None
    return Closure.from_record(reference, raw, float(entered), due, State(state.decode()))
