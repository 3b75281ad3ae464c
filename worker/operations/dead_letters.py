"""Rejected events: bytes that could not be taken for an event. Look at them, or discard them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.history import iso
from tasks.ledger.entries import StreamEntry
from worker.operations import audit
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_selection import DeadLetterSelection
from worker.operations.operator import Verb
from worker.operations.selection import named
from worker.operations.step import CouldNot, Step

_BATCH = 200
_DAMAGED = (
    "closer did not write this entry so; find out what else writes to the stream of rejected events, and give closer a "
    "database of its own"
)


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected event: its bytes as they came, why they are not an event, and where they came from.

    `refused_type`: the type that was not accepted, where that is one of the problems.
    """

    rejected_id: str
    body: bytes
    problems: tuple[str, ...]
    origin: str
    refused_type: str | None = None

    @property
    def at(self) -> str:
        """When it was put aside, ISO 8601."""
        return iso(int(self.rejected_id.partition("-")[0]))

    @property
    def subject_unused(self) -> bool:
        """Whether its subject may name the group, and was not used because there are data."""
        return any(problem.startswith("subject:") and "is not used" in problem for problem in self.problems)

    def as_json(self) -> dict[str, Any]:
        """The rejected event as other programs see it; bytes that are not UTF-8 are escaped as \\xNN."""
        return {
            "id": self.rejected_id, "at": self.at, "problems": list(self.problems), "origin": self.origin,
            "bytes": len(self.body), "event": _text(self.body), "type": self.refused_type,
        }  # fmt: skip


async def newest(context: OperatorContext) -> AsyncIterator[DeadLetter]:
    """Every rejected event, newest first. Raises Refused and StoreUnavailable."""
    context.guard(Verb.REJECTED)
    async for entry in context.ledger.dead_letters.backwards():
        yield _rejected(entry)


async def by_id(context: OperatorContext, ids: Sequence[str]) -> list[DeadLetter]:
    """The rejected events of these ids, each once, in their order.

    Raises Refused, CouldNot that names one that is not there, and StoreUnavailable.
    """
    context.guard(Verb.REJECTED, DeadLetterSelection(tuple(ids)))
    wanted = list(dict.fromkeys(ids))
    entries = [await context.ledger.dead_letters.get(rejected_id) for rejected_id in wanted]
    missing = [rejected_id for rejected_id, entry in zip(wanted, entries, strict=True) if entry is None]
    if missing:
        raise CouldNot(f"no rejected event has the id {min(missing)}", Step(Verb.REJECTED))
    return [_rejected(entry) for entry in entries if entry]


async def discard(context: OperatorContext, ids: Sequence[str], bulk: BulkOptions) -> int:
    """Forget rejected events; returns how many were there. Raises Refused, CouldNot and StoreUnavailable."""
    context.guard(Verb.DISCARD_REJECTED, DeadLetterSelection(tuple(dict.fromkeys(ids))), bulk.why)
    chosen = [one.rejected_id for one in await by_id(context, ids)]
    action = audit.Announced.by(context.operator, Verb.DISCARD_REJECTED, named(chosen, "rejected"), bulk.why)
    audit_id = await audit.announce(context, action, len(chosen))
    gone = 0
    async for chunk in bulk.chunks(chosen, _BATCH):
        gone += await context.ledger.dead_letters.dismiss(chunk, audit=audit_id)
    return gone


def _rejected(entry: StreamEntry) -> DeadLetter:
    rejected_id, fields = entry
    whole = b"event" in fields
    body = fields[b"event"] if whole else _all(fields)
    origin, event_type = _text(fields.get(b"origin", b"")), fields.get(b"type")
    problems = _problems(fields.get(b"problems", b"[]"), whole=whole)
    return DeadLetter(rejected_id, body, problems, origin, None if event_type is None else _text(event_type))


def _problems(raw: bytes, *, whole: bool) -> tuple[str, ...]:
    """What is wrong with the event; another program may have written the entry, and anything into it."""
    try:
        problems = json.loads(raw)
    except (ValueError, RecursionError):
        return (_DAMAGED,)
    if not isinstance(problems, list):
        return (_DAMAGED,)
    return (*map(str, problems), *(() if whole else (_DAMAGED,)))


def _all(fields: dict[bytes, bytes]) -> bytes:
    return json.dumps({_text(name): _text(value) for name, value in fields.items()}).encode()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
