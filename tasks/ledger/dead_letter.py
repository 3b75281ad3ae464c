"""A dead letter: a message that is not a valid event, as the ledger keeps it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.events.event import Rejection
from tasks.history import iso
from tasks.ledger.entries import texts, written_ms
from tasks.ledger.scripts import shown

_DAMAGED = (
    "closer did not write this entry so; find out what else writes to the stream of rejected events, and give closer a "
    "database of its own"
)


@dataclass(frozen=True, slots=True)
class LetterHead:
    """What is known of a rejected event, without its bytes.

    `size`: how many bytes it has. `problems`: why it is not an event. `origin`: where it came from first.
    `refused_type`: the type that was not accepted, where that is one of the problems. `times`: how often an event with
    these bytes came. `last_ms`: when it came last (ms since the epoch, by the store's clock).
    """

    rejected_id: str
    size: int
    problems: tuple[str, ...]
    origin: str
    refused_type: str | None
    times: int
    last_ms: int

    @property
    def at(self) -> str:
        """When it came first, ISO 8601."""
        return iso(written_ms(self.rejected_id))

    @property
    def subject_unused(self) -> bool:
        """Whether its subject may name the group, and was not used because there are data."""
        return Rejection(self.problems).subject_unused


@dataclass(frozen=True, slots=True)
class DeadLetter(LetterHead):
    """A rejected event with its bytes as they came."""

    body: bytes

    def as_json(self) -> dict[str, Any]:
        """Return the rejected event as other programs see it. Bytes that are not UTF-8 are escaped as \\xNN."""
        return {
            "id": self.rejected_id, "at": self.at, "problems": list(self.problems), "origin": self.origin,
            "bytes": self.size, "event": shown(self.body), "type": self.refused_type, "count": self.times,
            "last_at": iso(self.last_ms),
        }  # fmt: skip

    def exported(self) -> dict[str, Any]:
        """Return the same, with the bytes exactly as they came (`base64`)."""
        return self.as_json() | {"base64": base64.b64encode(self.body).decode()}


def read_head(row: Sequence[Any]) -> LetterHead:
    """Read a row of `lua/letters.lua` without bytes. Another program may have written the entry, and anything in it."""
    return LetterHead(**_head(row))


def read_letter(row: Sequence[Any]) -> DeadLetter:
    """Read a row of `lua/letters.lua` with bytes. None is unreadable: whatever was put there is kept bytes, too."""
    fields = _fields(row)
    body = fields[b"event"] if b"event" in fields else json.dumps(texts(fields)).encode()
    return DeadLetter(**_head(row) | {"size": len(body)}, body=body)


def _head(row: Sequence[Any]) -> dict[str, Any]:
    """Return the fields of a LetterHead."""
    entry_id, times, last, size, _ = row
    fields, name = _fields(row), entry_id.decode()
    event_type = fields.get(b"type")
    return {
        "rejected_id": name, "size": max(size, 0), "times": times, "last_ms": int(last or written_ms(name)),
        "problems": _problems(fields.get(b"problems", b"[]"), whole=size >= 0),
        "origin": shown(fields.get(b"origin", b"")),
        "refused_type": None if event_type is None else shown(event_type),
    }  # fmt: skip


def _fields(row: Sequence[Any]) -> Mapping[bytes, bytes]:
    flat = row[4]
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _problems(raw: bytes, *, whole: bool) -> tuple[str, ...]:
    """Return what is wrong with the event; that the entry is damaged, where another program wrote it."""
    try:
        problems = json.loads(raw)
    except (ValueError, RecursionError):
        return (_DAMAGED,)
    if not isinstance(problems, list):
        return (_DAMAGED,)
    return (*map(str, problems), *(() if whole else (_DAMAGED,)))
