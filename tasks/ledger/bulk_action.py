"""A bulk action as the ledger keeps it: what an operator does to many closures, and how far it has come."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tasks.history import iso
from tasks.ledger.codec import NOT_OURS, compact_json
from tasks.ledger.scripts import shown
from tasks.ledger.values import Unreadable


class BulkState(StrEnum):
    """Where a bulk action stands.

    RUNNING: somebody carries it on, or will soon. WAITING: its canary is out, or the gate is shut. STOPPED: nobody
    carries it on until it is resumed. DONE: every item has been looked at. RECALLED: what it changed is taken back.
    """

    RUNNING = "running"
    WAITING = "waiting"
    STOPPED = "stopped"
    DONE = "done"
    RECALLED = "recalled"


OPEN = frozenset({BulkState.RUNNING, BulkState.WAITING})
RECALLABLE = frozenset({"requeue", "discard"})
_BECAME = "became:"


@dataclass(frozen=True, slots=True)
class ActionOptions:
    """How a bulk action is done.

    `trigger`, `lock`: as `Closures.requeue` has them. `rate`: the most items a second, 0 for no limit. `canary`: so
    many items are re-queued first, and all must be closed before the others follow; 0 for no canary. `canary_wait_s`:
    for so long the canary is waited for, in seconds of the open clock. `ask`: the API is asked for each item first, and
    one that is closed there is recorded as closed. `while_shut`: it is asked although the gate is shut.
    """

    trigger: str = ""
    lock: bool = False
    rate: float = 0.0
    canary: int = 0
    canary_wait_s: float = 600.0
    ask: bool = False
    while_shut: bool = False

    def as_fields(self) -> dict[str, str]:
        """Return the fields of the store's hash. What is not set has none."""
        fields = {"trigger": self.trigger, "lock": "1" if self.lock else "", "rate": f"{self.rate:g}"}
        fields |= {"ask": "1" if self.ask else "", "while_shut": "1" if self.while_shut else ""}
        if self.canary:
            fields |= {"canary": str(self.canary), "canary_wait": str(int(self.canary_wait_s * 1000))}
        return {name: value for name, value in fields.items() if value not in ("", "0")}

    def as_json(self) -> dict[str, Any]:
        """Return the options that are set, as the audit and other programs see them."""
        given = {"lock": self.lock, "rate": self.rate, "canary": self.canary}
        given |= {"ask_api": self.ask, "while_shut": self.while_shut}
        return {name: value for name, value in given.items() if value}


@dataclass(frozen=True, slots=True)
class BulkStart:
    """What a bulk action is begun with.

    `verb`: requeue, discard, verify, hold, release, or replay, whose items are rejected events. `selection`: as JSON,
    with the options. `matched`: how many closures were chosen. `eligible`: how many of these are its items. `skipped`:
    the others by why, counted. `digest`: of the frozen references. `by`, `door`, `why`: the operator, the front end and
    the reason.
    """

    verb: str
    by: str
    door: str
    why: str
    selection: Mapping[str, Any]
    matched: int
    eligible: int
    skipped: Mapping[str, int]
    digest: str
    options: ActionOptions

    def as_fields(self) -> dict[str, str]:
        """Return the fields of the store's hash."""
        return self.options.as_fields() | {
            "verb": self.verb, "by": self.by, "door": self.door, "why": self.why, "hash": self.digest,
            "selection": compact_json(dict(self.selection)), "matched": str(self.matched),
            "eligible": str(self.eligible), "skipped": compact_json(dict(self.skipped)),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class BulkAction:
    """A bulk action, as it was read. Times are ms since the epoch, by the store's clock.

    `matched`, `eligible`, `skipped`, `selection`: see `BulkStart`. `changed`: how many items were changed. `not_done`:
    items that were not, by why, counted. `left`: items that were not looked at yet. `became`: what those that were
    changed are by now, counted. `recalled`: how many of them were taken back. `marked`: of a recall, how many items are
    being attempted and return if they are not called. `waits_for`: `gate` or `canary`, "" when it does not wait.
    `of`: the action that this one recalls. `audit_id`: its entry in the audit.
    """

    id: str
    verb: str
    state: BulkState
    by: str
    door: str
    why: str
    selection: Mapping[str, Any]
    matched: int
    eligible: int
    skipped: Mapping[str, int]
    changed: int
    not_done: Mapping[str, int]
    left: int
    became: Mapping[str, int]
    recalled: int
    marked: int
    waits_for: str
    stopped_because: str
    of: str
    audit_id: str
    created_ms: int
    ended_ms: int | None
    digest: str
    holder: str
    options: ActionOptions

    @property
    def name(self) -> str:
        """The action's name in the store, which is its id."""
        return self.id

    @property
    def is_open(self) -> bool:
        """Whether it goes on by itself."""
        return self.state in OPEN

    @property
    def untouched(self) -> dict[str, int]:
        """All closures that were chosen and not changed, by why, counted."""
        found = dict(self.skipped)
        for why, number in self.not_done.items():
            found[why] = found.get(why, 0) + number
        return found

    def as_json(self) -> dict[str, Any]:
        """Return the action as other programs see it. The names of the fields are a promise."""
        return {
            "id": self.id, "verb": self.verb, "state": self.state.value, "matched": self.matched,
            "eligible": self.eligible, "changed": self.changed, "skipped": self.untouched, "left": self.left,
            "became": dict(self.became), "recalled": self.recalled, "pending": self.marked, "by": self.by,
            "door": self.door or None, "why": self.why, "selection": dict(self.selection),
            "options": self.options.as_json(), "waits_for": self.waits_for or None,
            "stopped_because": self.stopped_because or None, "recalls": self.of or None, "hash": self.digest or None,
            "created_at": iso(self.created_ms), "ended_at": None if self.ended_ms is None else iso(self.ended_ms),
            "audit_id": self.audit_id,
        }  # fmt: skip


def read_action(row: list[Any]) -> BulkAction | Unreadable:
    """Read a row of `lua/bulk_read.lua`. Never raises: another program may have written the action."""
    action_id, left, *flat = row
    fields = {shown(name): shown(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}
    try:
        return _read(shown(action_id), int(left), fields)
    except NOT_OURS:
        return Unreadable(shown(action_id))


def _read(action_id: str, left: int, fields: Mapping[str, str]) -> BulkAction:
    became = {"closed": 0, "retrying": 0, "failed": 0, "waiting": 0}
    found = {name.removeprefix(_BECAME): int(value) for name, value in fields.items() if name.startswith(_BECAME)}
    return BulkAction(
        id=action_id, verb=fields["verb"], state=BulkState(fields["state"]), by=fields["by"], door=fields["door"],
        why=fields["why"], selection=_object(fields["selection"]), matched=int(fields["matched"]),
        eligible=int(fields["eligible"]), skipped=_counts(_object(fields["skipped"]).items()),
        changed=int(fields["changed"]), not_done=_counts(json.loads(fields.get("skips", "[]"))), left=left,
        became=became | {name: number for name, number in found.items() if number or name in became},
        recalled=int(fields.get("recalled", 0)), marked=int(fields.get("marked", 0)),
        waits_for=fields.get("waits_for", ""), stopped_because=fields.get("stopped_because", ""),
        of=fields.get("of", ""), audit_id=fields["audit"], created_ms=int(fields["created"]),
        ended_ms=int(fields["ended"]) if "ended" in fields else None, digest=fields.get("hash", ""),
        holder=fields.get("holder", ""), options=_options(fields),
    )  # fmt: skip


def _options(fields: Mapping[str, str]) -> ActionOptions:
    return ActionOptions(
        fields.get("trigger", ""), fields.get("lock") == "1", float(fields.get("rate", 0)),
        int(fields.get("canary", 0)), int(fields.get("canary_wait", 0)) / 1000, fields.get("ask") == "1",
        fields.get("while_shut") == "1",
    )  # fmt: skip


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _counts(pairs: Any) -> dict[str, int]:
    return {str(why): int(number) for why, number in pairs}
