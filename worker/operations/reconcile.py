"""Reconciles the ledger with the API: it asks for the true state of groups, and corrects closures that differ.

A crash in between is safe. Each chunk is corrected and counted in one step, and running it again asks for all of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tasks.closure import Closure, State
from tasks.ledger.values import Observation, Reconciled
from worker.construct import api_of
from worker.operations import audit
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.frozen import FrozenSelection
from worker.operations.operator import Verb
from worker.operations.policy import refuse_other_api
from worker.operations.questions import Questions

RATE = 50.0  # questions per second, unless the operator gives a rate
_CHUNK = 50
_CONNECTIONS = 10


class Findings:
    """What the API said.

    `asked`: how many groups have been asked for. `agree`: for how many the ledger was right. `closed`, `reopened`: the
    references for which it was wrong; in a dry run they are not corrected. `unclear`: groups that were not corrected,
    by why. `ended`: why it ended early, "" if it did not.
    """

    def __init__(self, frozen: FrozenSelection, *, dry_run: bool) -> None:
        self.matched = frozen.matched
        self.skipped = Counter(frozen.skipped)
        self.dry_run = dry_run
        self.asked = 0
        self.agree = 0
        self.closed: list[str] = []
        self.reopened: list[str] = []
        self.unclear: Counter[str] = Counter()
        self.ended = ""

    @property
    def stopped(self) -> bool:
        """Whether it ended, or was interrupted, before every group had been asked for."""
        return self.asked + self.skipped.total() < self.matched

    def as_json(self) -> dict[str, Any]:
        """Return the findings as other programs see them."""
        shown = {
            "matched": self.matched, "asked": self.asked, "agree": self.agree,
            "mended": {"closed": len(self.closed), "reopened": len(self.reopened)},
            "unclear": dict(self.unclear), "skipped": dict(self.skipped), "dry_run": self.dry_run,
            "reopened": self.reopened,
        }  # fmt: skip
        return shown | ({"stopped": True, "ended": self.ended or None} if self.stopped else {})


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
    back.

    Raises Refused, StoreUnavailable, ConfigurationError (also ForeignApi, or when there is no key), GateShut, and
    CouldNot when the API refuses the key.
    """
    context.guard(Verb.VERIFY, frozen, bulk.why, confirmed=bulk.confirmed)
    api = api_of(context.settings, connections=_CONNECTIONS)
    try:
        rate_limit = context.settings.rate_limit
        questions = Questions(context.ledger, api, rate_limit=rate_limit, while_shut=while_shut)
        paced = bulk if bulk.rate else replace(bulk, rate=RATE)
        return await _ask_for_all(context, questions, frozen, paced, dry_run=dry_run)
    finally:
        await api.aclose()


async def _ask_for_all(
    context: OperatorContext, questions: Questions, frozen: FrozenSelection, bulk: BulkOptions, *, dry_run: bool
) -> Findings:
    await refuse_other_api(context)
    findings = Findings(frozen, dry_run=dry_run)
    audit_id = ""
    action = audit.announced_by(context.operator, Verb.VERIFY, frozen.named(), bulk.why)
    if frozen.eligible and not dry_run:
        audit_id = await audit.announce(context, action, frozen.matched, frozen.skipped)
    async for chunk in bulk.chunks(frozen.eligible, _CHUNK):
        await refuse_other_api(context)  # somebody may have moved the ledger meanwhile
        closures = [closure for closure in await context.ledger.read(chunk) if closure]
        wrong, others = _compare(closures, await questions.ask([closure.reference for closure in closures]))
        if len(closures) < len(chunk):
            others["unknown"] = len(chunk) - len(closures)
        words = [Reconciled.DONE] * len(wrong)
        if audit_id:
            words = await context.ledger.reconcile(wrong, audit=audit_id, others=others)
        _count(findings, wrong, words, others)
        if questions.ended:
            findings.ended = questions.ended
            break
    if audit_id:
        changed = len(findings.closed) + len(findings.reopened)
        matched, stopped = findings.matched, findings.stopped
        await audit.tell_end(context, action, audit_id, matched=matched, changed=changed, stopped=stopped)
    return findings


def _compare(closures: Sequence[Closure], said: Sequence[str | None]) -> tuple[list[Observation], Counter[str]]:
    """Return the closures for which the ledger is wrong, and count the others: "agree", or why it cannot be told.

    A group that was not asked for is in neither.
    """
    wrong, others = [], Counter[str]()
    for closure, says in zip(closures, said, strict=True):
        if says is None:
            continue
        if says not in ("closed", "open"):
            others[says] += 1
        elif (says == "closed") != (closure.state is State.CLOSED):
            wrong.append(Observation(closure.reference, says == "closed", closure.entered_ms))
        else:
            others["agree"] += 1
    return wrong, others


def _count(findings: Findings, wrong: Sequence[Observation], words: Sequence[Reconciled], others: Counter[str]) -> None:
    unclear = Counter(others)
    for observed, word in zip(wrong, words, strict=True):
        if word is Reconciled.DONE:
            (findings.closed if observed.closed else findings.reopened).append(observed.reference)
        else:
            unclear[word.value] += 1
    findings.asked += len(wrong) + others.total()
    findings.agree += unclear.pop("agree", 0)
    findings.unclear += unclear
