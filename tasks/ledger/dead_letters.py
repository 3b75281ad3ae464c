"""The dead letters: messages that are not valid events. Each is kept with its bytes and its problems."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.events.batch import Element
from tasks.events.event import Rejection
from tasks.history import iso
from tasks.ledger.entries import Entries, StreamEntry, texts, written_ms
from tasks.ledger.scripts import Scripts, shown

_Arguments = list[str | bytes]
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
        return iso(written_ms(self.rejected_id))

    @property
    def subject_unused(self) -> bool:
        """Whether its subject may name the group, and was not used because there are data."""
        return Rejection(self.problems).subject_unused

    def as_json(self) -> dict[str, Any]:
        """Return the rejected event as other programs see it. Bytes that are not UTF-8 are escaped as \\xNN."""
        return {
            "id": self.rejected_id, "at": self.at, "problems": list(self.problems), "origin": self.origin,
            "bytes": len(self.body), "event": shown(self.body), "type": self.refused_type,
        }  # fmt: skip


class DeadLetters(Entries):
    """Keeps rejected events and reads them. Every method may raise StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        super().__init__(scripts, "rejected")

    async def reject(self, body: bytes, rejection: Rejection, origin: str) -> str:
        """Keep a message that is not an event, and return its id.

        `body`: its bytes. `origin`: where it came from. A repeat keeps it twice, which loses nothing.
        """
        ids: list[bytes] = await self._scripts.run("reject", *_rejected(body, rejection, origin))
        return ids[0].decode()

    async def keep(self, elements: Sequence[Element]) -> int:
        """Keep those elements that are rejections, and return how many were new.

        A delivery may come again after a crash. So each rejection is kept once, known by its identity and its bytes.
        """
        arguments = _rejected_once(elements)
        ids: list[bytes] = await self._scripts.run("reject", *arguments) if arguments else []
        return sum(1 for rejected_id in ids if rejected_id)

    async def newest(self) -> AsyncIterator[DeadLetter]:
        """Yield every rejected event, newest first."""
        async for entry in self._read("newest", "+", "-"):
            yield _dead_letter(entry)

    async def get(self, rejected_id: str) -> DeadLetter | None:
        """Return the rejected event with this id, or None when there is none."""
        entry = await self._get(rejected_id)
        return entry and _dead_letter(entry)

    async def dismiss(self, rejected_ids: Sequence[str], *, audit: str) -> int:
        """Delete rejected events by their ids, and return how many of them were there.

        `audit`: the id of the audit's entry that announced the action. The same step counts them there.
        """
        dismissed: int = await self._scripts.run("dismiss", audit, *rejected_ids)
        return dismissed


def _rejected(body: bytes, rejection: Rejection, origin: str, once: str = "") -> _Arguments:
    """Return the arguments of `lua/reject.lua` for one rejection. Of those with the same `once` it keeps the first."""
    return [body, json.dumps(rejection.problems), origin, rejection.refused_type or "", once]


def _rejected_once(elements: Iterable[Element]) -> _Arguments:
    """Return the arguments of `lua/reject.lua` for those elements that are rejections."""
    arguments: _Arguments = []
    for element in elements:
        if isinstance(element.event, Rejection):
            digest = hashlib.sha1(element.body, usedforsecurity=False).hexdigest()
            arguments += _rejected(element.body, element.event, element.identity, f"{element.identity} {digest}")
    return arguments


def _dead_letter(entry: StreamEntry) -> DeadLetter:
    """Read an entry. None is unreadable: whatever another program put there is kept bytes, too, and told as such."""
    rejected_id, fields = entry
    whole = b"event" in fields
    body = fields[b"event"] if whole else _all(fields)
    event_type = fields.get(b"type")
    problems = _problems(fields.get(b"problems", b"[]"), whole=whole)
    origin = shown(fields.get(b"origin", b""))
    return DeadLetter(rejected_id, body, problems, origin, None if event_type is None else shown(event_type))


def _problems(raw: bytes, *, whole: bool) -> tuple[str, ...]:
    """Return what is wrong with the event; that the entry is damaged, where another program wrote it."""
    try:
        problems = json.loads(raw)
    except (ValueError, RecursionError):
        return (_DAMAGED,)
    if not isinstance(problems, list):
        return (_DAMAGED,)
    return (*map(str, problems), *(() if whole else (_DAMAGED,)))


def _all(fields: Mapping[bytes, bytes]) -> bytes:
    return json.dumps(texts(fields)).encode()
