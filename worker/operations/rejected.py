"""Rejected events: bytes that could not be read as an event; look at them, correct and replay them, or discard them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.closure import iso
from tasks.event import Rejection, parse
from worker.operations import audit
from worker.operations.desk import Desk, StreamEntry
from worker.operations.pace import Manner

_BATCH = 200

Correct = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A rejected event: its bytes as they came, why they are no event, and where they came from."""

    rejected_id: str
    body: bytes
    problems: tuple[str, ...]
    origin: str

    @property
    def at(self) -> str:
        """When it was put aside, ISO 8601."""
        return iso(int(self.rejected_id.partition("-")[0]))

    def as_json(self) -> dict[str, Any]:
        """The rejected event as other programs see it; bytes that are no UTF-8 are escaped as \\xNN."""
        return {
            "id": self.rejected_id, "at": self.at, "problems": list(self.problems), "origin": self.origin,
            "bytes": len(self.body), "event": self.body.decode("utf-8", "backslashreplace"),
        }  # fmt: skip


@dataclass(slots=True)
class Replayed:
    """What a replay came to. `still_wrong`: by id, what is wrong after the correction, too."""

    matched: int
    received: Counter[str] = field(default_factory=Counter)
    still_wrong: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The result as other programs see it."""
        return {
            "matched": self.matched,
            "replayed": self.received.total(),
            "received": dict(self.received),
            "still_rejected": {rejected_id: list(problems) for rejected_id, problems in self.still_wrong.items()},
        }


async def newest(desk: Desk) -> AsyncIterator[Rejected]:
    """Every rejected event, newest first. Raises StoreUnavailable."""
    async for entry in desk.backwards("rejected"):
        yield _rejected(entry)


async def find(desk: Desk, rejected_ids: Sequence[str]) -> list[Rejected]:
    """The rejected events of these ids; an unknown id is left out. Raises StoreUnavailable."""
    entries = [await desk.entry("rejected", rejected_id) for rejected_id in rejected_ids]
    return [_rejected(entry) for entry in entries if entry]


async def replay(desk: Desk, chosen: Sequence[Rejected], manner: Manner, correct: Correct) -> Replayed:
    """Read each event again after `correct`, receive it, then take it off the rejected ones.

    A crash in between repeats: the event keeps its identity, so the ledger finds a duplicate. What is still no
    event stays. Raises StoreUnavailable.
    """
    result = Replayed(len(chosen))
    audit_id = await _announce(desk, "replay", chosen, manner)
    for one in chosen:
        if manner.stop.is_set():
            break
        event = parse(correct(one.body), source=desk.settings.events_stream, event_id=one.origin)
        if isinstance(event, Rejection):
            result.still_wrong[one.rejected_id] = event.problems
        else:
            (received,) = await desk.ledger.receive([event])
            await desk.ledger.dismiss([one.rejected_id], audit=audit_id)
            result.received[received.value] += 1
        manner.progress(1)
    return result


async def discard(desk: Desk, chosen: Sequence[Rejected], manner: Manner) -> int:
    """Forget rejected events; returns how many were there. Raises StoreUnavailable."""
    audit_id = await _announce(desk, "discard rejected", chosen, manner)
    gone = 0
    async for chunk in manner.chunks(chosen, _BATCH):
        gone += await desk.ledger.dismiss([one.rejected_id for one in chunk], audit=audit_id)
    return gone


def set_field(path: str, value: str) -> Correct:
    """A correction that puts a string at a dotted path; `reference` goes where the event's kind has it.

    Bytes that are no JSON object give way to a bare event.
    """

    def correct(body: bytes) -> bytes:
        document = _object(body)
        keys = path.split(".")
        if keys == ["reference"] and "specversion" in document:
            keys = ["data", "reference"]
        place = document
        for key in keys[:-1]:
            inner = place.get(key)
            place[key] = place = inner if isinstance(inner, dict) else {}
        place[keys[-1]] = value
        return json.dumps(document).encode()

    return correct


def corrections(given: Sequence[Correct]) -> Correct:
    """Several corrections, one after the other; none leaves the bytes as they are."""

    def correct(body: bytes) -> bytes:
        for one in given:
            body = one(body)
        return body

    return correct


async def _announce(desk: Desk, what: str, chosen: Sequence[Rejected], manner: Manner) -> str:
    ids = [one.rejected_id for one in chosen]
    named = " ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
    return await audit.announce(desk, audit.Action(manner.by, what, named, manner.why), len(chosen))


def _rejected(entry: StreamEntry) -> Rejected:
    rejected_id, fields = entry
    problems = _problems(fields.get(b"problems", b"[]"))
    origin = fields.get(b"origin", b"").decode("utf-8", "backslashreplace")
    return Rejected(rejected_id, fields.get(b"event", b""), problems, origin)


def _problems(raw: bytes) -> tuple[str, ...]:
    """What is wrong with the event; another program may have written the entry, and anything into it."""
    try:
        problems = json.loads(raw)
    except (ValueError, RecursionError):
        problems = None
    if not isinstance(problems, list):
        return ("closer did not write this entry: its problems are not a JSON list",)
    return tuple(map(str, problems))


def _object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
