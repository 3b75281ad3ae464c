"""Holds groups so that nobody calls them, and releases them. A hold waits for the attempt that is under way."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from tasks.closure import State
from tasks.hold import Hold
from tasks.ledger.bulk_action import ActionOptions, BulkAction, BulkState
from tasks.ledger.holds import HoldAnswer, HoldWord
from worker.operations.bulk import CHUNK, BulkOptions, begin_and_carry
from worker.operations.carry import Answers
from worker.operations.context import OperatorContext
from worker.operations.frozen import FrozenSelection
from worker.operations.operator import Verb

_LOOK_S = 0.25
_LATE_S = 2.0  # so long after the end of a lease the hold itself ends it, if no worker has
_SHOWN = 5
_CHANGED = (HoldWord.HELD, HoldWord.PENDING, HoldWord.RELEASED, HoldWord.FORGOTTEN)


class _Answered:
    """What came of an action, counted from the answers for its groups. `action`: as it is stored, None without one."""

    def __init__(self, frozen: FrozenSelection) -> None:
        self.matched = frozen.matched
        self.skipped = Counter(frozen.skipped)
        self.action: BulkAction | None = None
        self._seen: Counter[str] = Counter()

    @property
    def stopped(self) -> bool:
        """Whether it was stopped before all groups were looked at."""
        return self.action is not None and self.action.state is BulkState.STOPPED

    @property
    def goes_on(self) -> bool:
        """Whether it is left to the fleet."""
        return self.action is not None and self.action.is_open

    def count(self, reference: str, answer: HoldAnswer) -> None:
        """Count the answer for one group."""
        raise NotImplementedError

    def count_all(self, answers: Answers) -> None:
        """Count the answers of one step."""
        for reference, answer in answers:
            self._seen[answer.word.value] += 1
            self.count(reference, answer)

    def add(self, action: BulkAction) -> int:
        """Count what has no answer here: groups that have moved on, and steps that another process has taken.

        Returns how many groups other processes have changed.
        """
        self.action = action
        self.skipped.update(Counter(action.not_done) - self._seen)
        return max(0, action.changed - sum(self._seen[word.value] for word in _CHANGED))

    def identity(self) -> dict[str, Any]:
        """The action's id in JSON, and its state while it goes on or when it was stopped."""
        if self.action is None:
            return {"id": None}
        done = self.action.state is BulkState.DONE
        return {"id": self.action.id} | ({} if done else {"state": self.action.state.value})


class HoldResult(_Answered):
    """What came of a hold. `held`: groups that nobody calls from now on.

    `pending`: groups whose attempt is still under way, each with the monotonic time (s) at which its lease ends.
    `too_late`: groups that were closed before the hold could take effect. `already`: holds of others that stand, the
    first few.
    """

    def __init__(self, frozen: FrozenSelection) -> None:
        super().__init__(frozen)
        self.held = 0
        self.pending: dict[str, float] = {}
        self.too_late: list[str] = []
        self.already: dict[str, Hold] = {}

    @property
    def longest_wait_s(self) -> float:
        """For how many seconds the last attempt under way may still go on; 0 when there is none."""
        return max(0.0, *(ends - time.monotonic() for ends in self.pending.values())) if self.pending else 0.0

    def as_json(self) -> dict[str, Any]:
        """The result as other programs see it (field names are a promise)."""
        shown = {
            "matched": self.matched, "held": self.held, "pending": len(self.pending),
            "longest_wait_s": round(self.longest_wait_s, 1), "too_late": self.too_late, "skipped": dict(self.skipped),
            "dry_run": False,
        }  # fmt: skip
        return shown | self.identity() | ({"stopped": True} if self.stopped else {})

    def add(self, action: BulkAction) -> int:
        """See `_Answered.add`."""
        others = super().add(action)
        self.held += others
        return others

    def count(self, reference: str, answer: HoldAnswer) -> None:
        """Count the answer for one group."""
        match answer.word:
            case HoldWord.CLOSED:
                self.too_late.append(reference)
            case HoldWord.DISCARDED:
                self.skipped[answer.word.value] += 1
            case _ if answer.lease_s is not None:
                self.pending[reference] = time.monotonic() + answer.lease_s
            case HoldWord.ALREADY:
                self.skipped["already held"] += 1
                if answer.hold and len(self.already) < _SHOWN:
                    self.already[reference] = answer.hold
            case _:
                self.held += 1


async def hold(context: OperatorContext, frozen: FrozenSelection, bulk: BulkOptions) -> HoldResult:
    """Hold the groups, known or not, and return at once; `follow` waits for the attempts that are under way.

    After a crash in between the fleet holds the others, too. Raises Refused, StoreUnavailable,
    and OlderWorkers while workers of an older release are alive that would call a held group.
    """
    context.guard(Verb.HOLD, frozen, bulk.why, confirmed=bulk.confirmed)
    result = HoldResult(frozen)
    result.too_late = await _closed_already(context, frozen)
    result.skipped -= Counter({"closed": len(result.too_late)})
    if not frozen.eligible:
        return result
    result.add(await begin_and_carry(context, frozen, bulk, ActionOptions(rate=bulk.rate), result.count_all))
    return result


async def _closed_already(context: OperatorContext, frozen: FrozenSelection) -> list[str]:
    """Return the groups that were named, and that are closed: whoever names them wanted to prevent that."""
    left = set(frozen.eligible)
    others = [reference for reference in frozen.selection.references if reference not in left]
    closed = []
    for start in range(0, len(others), CHUNK):
        found = await context.ledger.read(others[start : start + CHUNK])
        closed += [one.reference for one in found if one and one.state is State.CLOSED]
    return closed


async def follow(context: OperatorContext, result: HoldResult, stop: asyncio.Event) -> None:
    """Wait until no attempt is under way for a group of the result, or told to stop. Raises StoreUnavailable."""
    while result.pending and not stop.is_set():
        await _look(context, result)
        if result.pending:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_S):
                    await stop.wait()


async def _look(context: OperatorContext, result: HoldResult) -> None:
    """Look at the groups that are pending once, a chunk at a time."""
    pending = list(result.pending)
    for start in range(0, len(pending), CHUNK):
        chunk = pending[start : start + CHUNK]
        overdue = []
        for reference, closure in zip(chunk, await context.ledger.read(chunk), strict=True):
            if closure is None or closure.state is not State.CLOSING or closure.hold is None:
                _ended(result, reference, closure.state if closure else None, closure.hold if closure else None)
            elif time.monotonic() > result.pending[reference] + _LATE_S:
                overdue.append(reference)
        await _end_leases(context, result, overdue)


async def _end_leases(context: OperatorContext, result: HoldResult, references: Sequence[str]) -> None:
    """No worker is alive that would end these leases: a hold does so itself."""
    if references:
        why = "no worker has ended its lease"
        answers = await context.ledger.holds.hold(references, by=context.operator.signature, why=why)
        for reference, answer in zip(references, answers, strict=True):
            if answer.lease_s is None:
                _ended(result, reference, State.CLOSED if answer.word is HoldWord.CLOSED else State.HELD, answer.hold)


def _ended(result: HoldResult, reference: str, state: State | None, hold_now: Hold | None) -> None:
    del result.pending[reference]
    if state is State.CLOSED:
        result.too_late.append(reference)
    elif hold_now is None:
        result.skipped["released meanwhile"] += 1
    else:
        result.held += 1


class ReleaseResult(_Answered):
    """What came of a release. `released`: how many have the state back that they were taken from."""

    def __init__(self, frozen: FrozenSelection) -> None:
        super().__init__(frozen)
        self.released = 0
        self.forgotten = 0
        self.unreadable: list[str] = []

    @property
    def changed(self) -> int:
        """How many holds have ended."""
        return self.released + self.forgotten + len(self.unreadable)

    def as_json(self) -> dict[str, Any]:
        """The result as other programs see it (field names are a promise).

        `forgotten`: of the released ones, those for which no event had come. `unreadable`: those whose record is
        damaged, so that they are not queued.
        """
        shown = {
            "matched": self.matched, "released": self.changed, "forgotten": self.forgotten,
            "unreadable": self.unreadable, "skipped": dict(self.skipped), "dry_run": False,
        }  # fmt: skip
        return shown | self.identity() | ({"stopped": True} if self.stopped else {})

    def add(self, action: BulkAction) -> int:
        """See `_Answered.add`."""
        others = super().add(action)
        self.released += others
        return others

    def count(self, reference: str, answer: HoldAnswer) -> None:
        """Count the answer for one group."""
        match answer.word:
            case HoldWord.RELEASED:
                self.released += 1
            case HoldWord.FORGOTTEN:
                self.forgotten += 1
            case HoldWord.UNREADABLE:
                self.unreadable.append(reference)
            case _:
                self.skipped[answer.word.value] += 1


async def release(context: OperatorContext, frozen: FrozenSelection, bulk: BulkOptions) -> ReleaseResult:
    """End the holds of the groups, whoever made them. Raises Refused and StoreUnavailable."""
    context.guard(Verb.RELEASE, frozen, bulk.why, confirmed=bulk.confirmed)
    result = ReleaseResult(frozen)
    if not frozen.eligible:
        return result
    result.add(await begin_and_carry(context, frozen, bulk, ActionOptions(rate=bulk.rate), result.count_all))
    return result
