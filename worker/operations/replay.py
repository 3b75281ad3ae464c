"""Replays rejected events: they are read again, after a correction or under other rules, and received.

The whole replay is planned first. A plan that would lose a group is refused, and nothing of it is received.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tasks.errors import CloserError
from tasks.events import batch
from tasks.events.data import content, elsewhere
from tasks.events.event import Event, GroupCancelled, GroupComplete
from tasks.ledger.bulk_action import ActionOptions, BulkAction, BulkState
from tasks.ledger.dead_letter import DeadLetter
from worker.operations import audit
from worker.operations.bulk import BulkOptions, begin_and_carry
from worker.operations.context import OperatorContext
from worker.operations.corrections import Correct, NotCorrected
from worker.operations.dead_letter_selection import DeadLetterSelection
from worker.operations.frozen import digest_of
from worker.operations.operator import Verb
from worker.operations.reading import Reading
from worker.operations.refusal import Refused, Rule
from worker.operations.replay_selection import choose
from worker.operations.replay_step import CHUNK, Replayer, given_corrections, read_one
from worker.operations.selection import named


@dataclass(frozen=True, slots=True)
class Plan:
    """What a replay would come to.

    `ready`: each rejected event that can now be received, with the events in it. `still_wrong`: by the rejected event's
    id, what is still wrong with it.
    """

    selection: DeadLetterSelection
    ready: list[tuple[DeadLetter, list[Event]]] = field(default_factory=list)
    still_wrong: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def verb(self) -> Verb:
        """What the stored action does."""
        return Verb.REPLAY

    @property
    def eligible(self) -> list[str]:
        """The ids of those that would be replayed, in their order."""
        return [one.rejected_id for one, _ in self.ready]

    @property
    def entered(self) -> dict[str, int]:
        """The place of each in this order."""
        return {rejected_id: place for place, rejected_id in enumerate(self.eligible)}

    @property
    def skipped(self) -> dict[str, int]:
        """Those that are still wrong, counted."""
        return {"still wrong": len(self.still_wrong)} if self.still_wrong else {}

    @property
    def digest(self) -> str:
        """The name of exactly this set."""
        return digest_of(self.eligible)

    @property
    def matched(self) -> int:
        """How many rejected events were chosen."""
        return len(self.ready) + len(self.still_wrong)

    @property
    def everything(self) -> bool:
        """Whether the operator gave no condition at all."""
        return self.selection.everything

    @property
    def size(self) -> int | None:
        """How many rejected events would be replayed."""
        return len(self.ready)

    def check(self) -> None:
        """Raises Refused when the subject is used and the operator has not been shown which groups it names."""
        self.selection.check()
        if self.selection.use_subject and not self.selection.shown:
            raise Refused(Rule.SUBJECT_NOT_SHOWN, "a subject is used only after it was shown which groups it names")

    def named(self) -> dict[str, Any]:
        """Return the ids of the rejected events and the options, as the audit keeps them."""
        ids = self.eligible + list(self.still_wrong)
        options = {name: value for name, value in self.selection.as_json().items() if name not in ("rejected", "count")}
        return named(ids, "rejected") | options

    def groups(self) -> Counter[str]:
        """Return the groups that would be closed, and how many events name each."""
        return Counter(
            event.reference for _, events in self.ready for event in events if isinstance(event, GroupComplete)
        )

    def cancelled(self) -> Counter[str]:
        """Return the groups that would be held, because an event cancels them, and how many events name each."""
        return Counter(
            event.reference for _, events in self.ready for event in events if isinstance(event, GroupCancelled)
        )

    def as_json(self) -> dict[str, Any]:
        """Return the plan as other programs see it."""
        groups = dict(self.groups())
        wrong = {rejected_id: list(problems) for rejected_id, problems in self.still_wrong.items()}
        return {
            "dry_run": True, "matched": self.matched, "groups": groups, "cancelled": dict(self.cancelled()),
            "still_rejected": wrong,
        }  # fmt: skip


@dataclass(slots=True)
class Replayed:
    """What a replay came to.

    `matched`: how many rejected events were chosen. `replayed`: how many of them were replayed. `received`: what the
    events in them came to (`new`, `duplicate` …), counted, as far as this process has received them. `still_wrong`: as
    in `Plan`. `action`: as it is stored; None where events were corrected by hand.
    """

    matched: int
    replayed: int = 0
    received: Counter[str] = field(default_factory=Counter)
    still_wrong: dict[str, tuple[str, ...]] = field(default_factory=dict)
    action: BulkAction | None = None

    @property
    def stopped(self) -> bool:
        """Whether it was interrupted, and the rest was not touched."""
        if self.action:
            return self.action.state is BulkState.STOPPED
        return self.replayed + len(self.still_wrong) < self.matched

    @property
    def goes_on(self) -> bool:
        """Whether it is left to the fleet."""
        return self.action is not None and self.action.is_open

    @property
    def gone(self) -> int:
        """How many were taken off by somebody else meanwhile."""
        return self.action.not_done.get("gone", 0) if self.action else 0

    def as_json(self) -> dict[str, Any]:
        """Return the result as other programs see it."""
        shown = {
            "matched": self.matched,
            "replayed": self.replayed,
            "received": dict(self.received),
            "still_rejected": {rejected_id: list(problems) for rejected_id, problems in self.still_wrong.items()},
            "id": self.action.id if self.action else None,
        }
        return shown | ({"state": self.action.state.value} if self.action and (self.stopped or self.goes_on) else {})


async def plan(
    context: OperatorContext, selection: DeadLetterSelection, edit: Correct | None = None
) -> tuple[Plan, list[DeadLetter]]:
    """Choose rejected events, read each again after its corrections, and return the plan and what was chosen.

    `edit`: a correction by hand, which comes last. Raises Refused, StoreUnavailable, CouldNot when nothing matches, and
    CloserError when fewer groups would be closed than the events named before.
    """
    chosen = await choose(context, selection)
    reading = await Reading.of(context.ledger, context.settings, selection)
    return read_again(chosen, reading, given_corrections(selection, edit), selection), chosen


def read_again(
    chosen: Iterable[DeadLetter], reading: Reading, correct: Correct, selection: DeadLetterSelection
) -> Plan:
    """Read each rejected event again after `correct`, and return the plan.

    Raises CloserError when fewer groups would be closed than the events named before.
    """
    planned = Plan(selection)
    for one in chosen:
        try:
            wrong, events = read_one(one, reading, correct)
        except NotCorrected as error:
            raise NotCorrected(f"{one.rejected_id} was not corrected: {error}; nothing was replayed") from None
        if wrong:
            planned.still_wrong[one.rejected_id] = wrong
        else:
            planned.ready.append((one, events))
    _must_lose_none(planned)
    return planned


async def replay(context: OperatorContext, planned: Plan, bulk: BulkOptions) -> Replayed:
    """Receive the events of a plan, then take them off the rejected ones. What is still wrong stays rejected.

    It is stored as an action, unless events were corrected by hand: nobody else could read those. A crash in between is
    safe: a repeat receives the same identities, which the ledger knows as duplicates. Raises Refused, StoreUnavailable
    and LedgerBroken.
    """
    context.guard(planned.selection.verb, planned, bulk.why, confirmed=bulk.confirmed)
    if planned.selection.edited:
        return await _replay_edited(context, planned, bulk)
    replayer = Replayer()
    action = await begin_and_carry(context, planned, bulk, ActionOptions(), replayer=replayer)
    still_wrong = planned.still_wrong | replayer.still_wrong
    return Replayed(planned.matched, action.changed, replayer.received, still_wrong, action)


async def _replay_edited(context: OperatorContext, planned: Plan, bulk: BulkOptions) -> Replayed:
    replayer, replayed = Replayer(still_wrong=dict(planned.still_wrong)), 0
    action = audit.announced_by(context.operator, Verb.REPLAY, planned.named(), bulk.why)
    audit_id = await audit.announce(context, action, planned.matched, planned.skipped)
    async for chunk in bulk.chunks(planned.ready, CHUNK):
        received = await replayer.receive(context.ledger, chunk)
        await context.ledger.dead_letters.dismiss(received, audit=audit_id)
        replayed += len(received)
    result = Replayed(planned.matched, replayed, replayer.received, replayer.still_wrong)
    matched, changed, stopped = result.matched, result.replayed, result.stopped
    await audit.tell_end(context, action, audit_id, matched=matched, changed=changed, stopped=stopped)
    return result


def _must_lose_none(planned: Plan) -> None:
    """Raises CloserError when the events name fewer groups after the correction than before.

    Otherwise a group that only one of them named would never be closed, or held.
    """
    before = {name for one, _ in planned.ready for name in names(one.body)}
    after = planned.groups() + planned.cancelled()
    if len(after) < len(before):
        several = ", ".join(
            f"{reference} ({number} events)" for reference, number in after.most_common(5) if number > 1
        )
        raise CloserError(
            f"these rejected events name {len(before)} groups, but would close only {len(after)}; the others would be "
            f"lost, so nothing was replayed. Named by more than one event: {several or 'none'}. Replay those one at a "
            "time, by their ids"
        )


def names(body: bytes) -> set[str]:
    """Return what rejected bytes call their groups: a name for each event in them that could mean another group."""
    try:
        texts: Sequence[bytes] = batch.split(body) if batch.is_array(body) else [body]
    except ValueError:
        texts = [body]
    return {_name(text) for text in texts}


def _name(text: bytes) -> str:
    """Return an event's reference, even a wrong one; else its data; else its subject; else the whole event."""
    try:
        return _name_in(json.loads(text))
    except (ValueError, RecursionError):
        return text.decode("utf-8", "backslashreplace")


def _name_in(event: Any) -> str:
    if not isinstance(event, dict):
        return json.dumps(event)
    data = _data(event)
    for value in (data.get("reference") if isinstance(data, dict) else None, event.get("reference"), data):
        if value is not None:
            return json.dumps(value, sort_keys=True)
    if others := elsewhere(event):
        return json.dumps([event[name] for name in others], sort_keys=True)
    return json.dumps(event.get("subject", event), sort_keys=True)


def _data(event: dict[str, Any]) -> Any:
    given, encoded = event.get("data"), event.get("data_base64")
    try:
        return content(given, None if given is not None else encoded)
    except ValueError:
        return given if given is not None else encoded
