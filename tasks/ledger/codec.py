"""The codec turns the store's records and lines into values, and values into script arguments.

A record is JSON with short field names, which are listed at the top of `lua/lib/record.lua`. Its history has one line
for each attempt, with the fields in a fixed order and `|` between them. Every release reads the lines of all earlier
ones, because fields are only added at the end of a line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from tasks.closure import UNREADABLE, Closure, Outcome, Reason, State
from tasks.errors import LedgerBroken
from tasks.events.event import Event, GroupCancelled
from tasks.history import Attempt, OperatorAction
from tasks.hold import Cancel, Hold
from tasks.ledger.values import Claim, Settlement, Unclaimed, round_up_ms

T = TypeVar("T")
_DETAIL_MOST = 160
_DAMAGED = "the store holds a damaged record of it; publish it again: the API then tells whether it is closed"
# The errors that reading raises for a value that closer did not write.
NOT_OURS = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)


def pack_attempt(attempt: Attempt) -> str:
    """Return the attempt as one line of a record's history. `detail`, the longest field, is cut at 160 characters."""
    fields = (
        attempt.at_ms, attempt.worker, attempt.trigger, attempt.status, attempt.code, attempt.correlation_id,
        attempt.duration_ms, attempt.verdict, attempt.decision, attempt.detail[:_DETAIL_MOST], attempt.sent_ms,
    )  # fmt: skip
    texts = ["" if field is None else str(field) for field in fields]
    line = "|".join(texts)
    if line.isprintable() and line.count("|") == len(texts) - 1:
        return line
    return "|".join(map(_clean, texts))


def unpack_attempt(line: str) -> Attempt:
    """Read a line that `pack_attempt` or a script of the ledger wrote. Raises ValueError for any other text."""
    at, worker, trigger, status, code, correlation, duration, verdict, decision, detail, *sent = line.split("|")
    return Attempt(
        int(at), worker, trigger, _int(status), code or None, correlation or None, _int(duration),
        verdict, decision, detail, _int(sent[0]) if sent else None,
    )  # fmt: skip


def closure_of(reference: str, row: list[Any]) -> Closure | None:
    """Read a row of `lua/read.lua`. An empty row means that the ledger does not know the reference, and gives None."""
    if not row:
        return None
    raw, entered, agenda, state, hold = row
    found = read_closure(reference, raw, float(entered), float(agenda) if agenda else None, State(state.decode()))
    return replace(found, hold=read_hold(hold)) if hold else found


def read_closure(reference: str, raw: bytes | str, entered: float, agenda: float | None, held: State) -> Closure:
    """Read a closure's record. Never raises: another program may have written the record.

    `entered`: when the closure entered its state. `agenda`: until when it waits for a retry or its time, None when it
    does not wait. Both are ms since the epoch. `held`: the state whose index holds it. A record that cannot be read
    becomes a closure in that state, with one attempt in its history that says it is damaged.
    """
    try:
        return _read_record(reference, json.loads(raw), entered, agenda)
    except NOT_OURS:
        note = Attempt(int(entered), "", code=UNREADABLE, verdict=UNREADABLE, detail=_DAMAGED)
        return Closure(
            reference, held, None, None, 0, "", "", int(entered), int(entered), None, None, None, None, (note,)
        )


def _read_record(reference: str, record: Mapping[str, Any], entered: float, agenda: float | None) -> Closure:
    state = State(record["s"])
    return Closure(
        reference=reference,
        state=state,
        outcome=Outcome(record["o"]) if "o" in record else None,
        reason=Reason(record["r"]) if "r" in record else None,
        attempts=int(record.get("n", 0)),
        source=record["e"],
        event_id=record["i"],
        received_ms=int(record["a"]),
        entered_ms=int(entered),
        next_attempt_ms=int(agenda) if agenda is not None and state in (State.RETRYING, State.QUEUED) else None,
        custom_reference=record.get("u"),
        event_time=record.get("t"),
        traceparent=record.get("p"),
        history=tuple(map(unpack_attempt, record.get("h", ()))),
        actions=tuple(map(_action, record.get("q", ()))),
        cancels=tuple(map(_cancel, record.get("cn", ()))),
        recall=record.get("Ab"),
    )


def read_hold(raw: bytes) -> Hold:
    """Read a hold. Never raises: a damaged one holds all the same, and is shown as by nobody that is known."""
    try:
        said = json.loads(raw)
        return Hold(
            str(said["by"]), str(said["why"]), int(said["at"]), str(said.get("door", "")), _text_in(said, "source"),
            _text_in(said, "id"), tuple(map(str, said.get("cancels") or ())),
        )  # fmt: skip
    except NOT_OURS:
        return Hold("nobody known", "what the store holds of this hold is damaged", 0)


def _action(line: str) -> OperatorAction:
    """Read a line that `sign` of `lua/lib/audit.lua` wrote."""
    at, action, audit_id = line.split("|")
    return OperatorAction(int(at), action, audit_id)


def _cancel(line: str) -> Cancel:
    """Read a line that `cancel.note` of `lua/lib/cancel.lua` wrote."""
    at, word, source, event_id = line.split("\n")
    return Cancel(int(at), word, source, event_id)


def _text_in(said: dict[str, Any], name: str) -> str | None:
    return str(said[name]) if said.get(name) is not None else None


def claim_of(reference: str, row: list[Any]) -> Claim | Unclaimed:
    """Read a row of `lua/claim.lua`. Its milliseconds become seconds, except in `at_ms`, `sent_ms`, `received_ms`."""
    word, *rest = row
    if word != b"claimed":
        return Unclaimed(word.decode())
    said = json.loads(rest[0])
    return Claim(
        reference,
        lease=said["lease"],
        failures=said["failures"],
        missing=said["missing"],
        remaining_s=said["remaining_ms"] / 1000,
        wait_s=said["wait_ms"] / 1000,
        at_ms=said["at_ms"],
        trigger=said.get("trigger", ""),
        lock_first=said.get("lock_first", False),
        custom_reference=said.get("custom_reference"),
        traceparent=said.get("traceparent"),
        sent_ms=said.get("sent_ms"),
        received_ms=said.get("received_ms"),
    )


def event_argument(event: Event) -> str:
    """Return an event as the JSON that `lua/receive.lua` reads."""
    if isinstance(event, GroupCancelled):
        named = {"ref": event.reference, "e": event.source, "i": event.event_id, "cancel": 1}
        return compact_json(named if event.time_ms is None else named | {"tm": event.time_ms})
    fields = {"ref": event.reference, "e": event.source, "i": event.event_id, "u": event.custom_reference,
              "t": event.time, "p": event.traceparent, "b": event.not_before_ms,
              "tm": event.time_ms}  # fmt: skip
    return compact_json({name: value for name, value in fields.items() if value is not None})


def settlement_argument(settlement: Settlement) -> str:
    """Return a settlement as the JSON that `lua/settle.lua` reads.

    Durations are rounded up to whole milliseconds, so that no call is made before a Retry-After has ended.
    """
    one = settlement
    item: dict[str, Any] = {"ref": one.reference, "x": one.lease, "to": one.to, "health": one.health}
    optional = {"h": one.packed, "o": one.outcome, "r": one.reason, "miss": int(one.missing) or None,
                "told": int(one.told) or None, "hold": math.ceil(one.hold_s * 1000) or None}  # fmt: skip
    item.update({name: value for name, value in optional.items() if value is not None})
    return compact_json(item | {"delay": round_up_ms(one.delay_s)})


def arguments(write: Callable[[T], str], items: Iterable[T]) -> list[str]:
    """Return each item as `write` makes it. Raises LedgerBroken when it fails, such as for an infinite number.

    A script raises the same error for an item that it cannot read, so the caller handles both alike (`sift`).
    """
    try:
        return [write(item) for item in items]
    except (ValueError, OverflowError, TypeError) as error:
        raise LedgerBroken(f"closer cannot write this down ({type(error).__name__}: {error}); report it") from error


def compact_json(value: dict[str, Any]) -> str:
    """Return the value as JSON without spaces."""
    return json.dumps(value, separators=(",", ":"))


def _clean(text: str) -> str:
    """Replace separators and control characters by spaces.

    The text may come from the API and be shown in a log or on a terminal.
    """
    return "".join(char if char.isprintable() and char != "|" else " " for char in text)


def _int(text: str) -> int | None:
    return int(text) if text else None
