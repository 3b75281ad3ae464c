"""Reconciles the ledger with the API: it asks for the true state of groups, and corrects closures that differ.

A crash in between is safe. The ledger keeps it as an action, and whoever takes it over asks again for what was not
corrected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tasks.closure import Closure, State
from tasks.ledger.bulk_action import ActionOptions, BulkAction, BulkState
from worker.operations.asker import Asker
from worker.operations.bulk import BulkOptions, begin_and_carry, interrupted
from worker.operations.context import OperatorContext
from worker.operations.frozen import FrozenSelection
from worker.operations.operator import Verb
from worker.operations.policy import refuse_other_api
from worker.operations.questions import RATE, SAYS, Questions

_CHUNK = 50


class Findings:
    """What the API said.

    `asked`: how many groups have been asked for. `agree`: for how many the ledger was right. `closed`, `reopened`: how
    many, and which, were wrong: closed at the API, and not closed there; in a dry run they are not corrected.
    `unclear`: groups that were not corrected, by why. `ended`: why it ended early, "" if it did not. `action`: as it is
    stored; None for a dry run, or where nothing matched.
    """

    def __init__(self, frozen: FrozenSelection, *, dry_run: bool) -> None:
        self.matched = frozen.matched
        self.skipped = Counter(frozen.skipped)
        self.dry_run = dry_run
        self.asked = 0
        self.agree = 0
        self.closed = 0
        self.reopened: list[str] = []
        self.unclear: Counter[str] = Counter()
        self.ended = ""
        self.action: BulkAction | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it is left to the fleet."""
        return self.action is not None and self.action.is_open

    @property
    def stopped(self) -> bool:
        """Whether it ended, or was interrupted, before every group had been asked for."""
        return not self.goes_on and self.asked + self.skipped.total() < self.matched

    def as_json(self) -> dict[str, Any]:
        """Return the findings as other programs see them."""
        shown = {
            "matched": self.matched, "asked": self.asked, "agree": self.agree,
            "mended": {"closed": self.closed, "reopened": len(self.reopened)},
            "unclear": dict(self.unclear), "skipped": dict(self.skipped), "dry_run": self.dry_run,
            "reopened": self.reopened, "id": self.action.id if self.action else None,
        }  # fmt: skip
        state = {"state": self.action.state.value} if self.action and self.action.state is not BulkState.DONE else {}
        return shown | state | ({"stopped": True, "ended": self.ended or None} if self.stopped else {})

    def add(self, action: BulkAction, reopened: list[str]) -> None:
        """Take over what a stored action has come to."""
        self.action, self.reopened = action, reopened
        self.closed = action.changed - len(reopened)
        self.unclear = Counter(action.not_done)
        self.asked = action.changed + self.unclear.total()
        self.agree = self.unclear.pop("agree", 0)


async def reconcile(
    context: OperatorContext,
    frozen: FrozenSelection,
    bulk: BulkOptions,
    *,
    while_shut: bool = False,
    dry_run: bool = False,
) -> Findings:
    """Ask for each group. The closure of a group that is closed becomes closed; a wrongly closed one becomes failed.

    `while_shut`: ask although the gate is shut. `dry_run`: correct nothing. Without a rate in `bulk` it asks for at
    most `RATE` groups per second; the fleet's rate limit holds in any case. It ends early when the API asks to hold
    back. Where it is detached, the fleet waits instead, for that and for the gate.

    Raises Refused, StoreUnavailable, ConfigurationError (also ForeignApi, or when there is no key), GateShut, and
    CouldNot when the API refuses the key.
    """
    context.guard(Verb.VERIFY, frozen, bulk.why, confirmed=bulk.confirmed)
    bulk = bulk if bulk.rate else replace(bulk, rate=RATE)
    asker = Asker(context.ledger, context.settings)
    try:
        await refuse_other_api(context)
        if dry_run:
            return await _compared(context, asker.questions(while_shut=while_shut), frozen, bulk)
        if not bulk.detach:
            await asker.look(while_shut=while_shut)
    finally:
        await asker.aclose()
    return await _corrected(context, frozen, bulk, while_shut=while_shut)


async def _corrected(
    context: OperatorContext, frozen: FrozenSelection, bulk: BulkOptions, *, while_shut: bool
) -> Findings:
    findings = Findings(frozen, dry_run=False)
    if not frozen.eligible:
        return findings
    options = ActionOptions(rate=bulk.rate, while_shut=while_shut)
    action = await begin_and_carry(context, frozen, bulk, options, strict=True)
    findings.add(action, await context.ledger.bulk.reopened(action.id))
    if action.stopped_because != interrupted(context):
        findings.ended = action.stopped_because
    return findings


async def _compared(
    context: OperatorContext, questions: Questions, frozen: FrozenSelection, bulk: BulkOptions
) -> Findings:
    """Ask, and change nothing."""
    findings = Findings(frozen, dry_run=True)
    async for chunk in bulk.chunks(frozen.eligible, _CHUNK):
        await refuse_other_api(context)  # somebody may have moved the ledger meanwhile
        closures = [closure for closure in await context.ledger.read(chunk) if closure]
        _compare(findings, closures, await questions.ask([closure.reference for closure in closures]))
        if unknown := len(chunk) - len(closures):
            findings.asked += unknown
            findings.unclear["unknown"] += unknown
        if questions.ended:
            findings.ended = questions.ended
            break
    return findings


def _compare(findings: Findings, closures: Sequence[Closure], said: Sequence[str | None]) -> None:
    """Count what the API says of some closures. A group that was not asked for is not counted."""
    for closure, says in zip(closures, said, strict=True):
        if says is None:
            continue
        findings.asked += 1
        if says not in SAYS:
            findings.unclear[says] += 1
        elif (says == "closed") == (closure.state is State.CLOSED):
            findings.agree += 1
        elif says == "closed":
            findings.closed += 1
        else:
            findings.reopened.append(closure.reference)
