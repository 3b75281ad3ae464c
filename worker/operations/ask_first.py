"""Asks the API, before a re-queue or a discard, what the chosen groups are there. Nothing is changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from worker.operations.asker import Asker
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.frozen import FrozenSelection
from worker.operations.operator import Verb
from worker.operations.policy import refuse_other_api
from worker.operations.questions import RATE, SAYS, Questions

SAMPLE = 1000  # of more groups than this, so many are asked for
_CHUNK = 50


@dataclass(slots=True)
class ApiSays:
    """What the API says of groups that an action would change.

    `eligible`: how many the action would change. `wanted`: for how many of them the API was to be asked. `found`: how
    many are `closed`, `locked` and `open` (not locked). `unclear`: of how many that could not be told, by why. `ended`:
    why not all were asked for, "" if they were.
    """

    eligible: int
    wanted: int
    found: Counter[str] = field(default_factory=Counter)
    unclear: Counter[str] = field(default_factory=Counter)
    ended: str = ""

    @property
    def asked(self) -> int:
        """For how many groups there is an answer."""
        return self.found.total() + self.unclear.total()

    @property
    def is_sample(self) -> bool:
        """Whether the groups that were asked for stand for more."""
        return self.wanted < self.eligible

    def count(self, answers: Sequence[str | None]) -> None:
        """Count some answers. None: that group was not asked for."""
        for says in answers:
            if says is not None:
                (self.found if says in SAYS else self.unclear)[says] += 1

    def as_json(self) -> dict[str, Any]:
        """Return it as other programs see it."""
        return {
            "asked": self.asked, "sample": self.is_sample, "closed": self.found["closed"],
            "not_locked": self.found["open"], "locked": self.found["locked"], "unclear": dict(self.unclear),
            "ended": self.ended or None,
        }  # fmt: skip


async def ask_first(context: OperatorContext, frozen: FrozenSelection, bulk: BulkOptions) -> ApiSays:
    """Ask for the groups that the action would change; of more than 1,000, for 1,000 that are spread evenly over them.

    It goes through the gate (or not, by `bulk.while_shut`) and within the fleet's rate limit, at most 50 a second
    unless `bulk.rate` says otherwise. It ends early when the API asks to hold back for longer than a minute.

    Raises Refused, StoreUnavailable, ConfigurationError (also ForeignApi, or when there is no key), GateShut, and
    CouldNot when the API refuses the key.
    """
    context.guard(Verb.VERIFY, frozen)
    asker = Asker(context.ledger, context.settings)
    try:
        await refuse_other_api(context)
        return await _ask(asker.questions(while_shut=bulk.while_shut), frozen.eligible, bulk)
    finally:
        await asker.aclose()


async def _ask(questions: Questions, eligible: Sequence[str], bulk: BulkOptions) -> ApiSays:
    chosen = sample(eligible)
    says = ApiSays(len(eligible), len(chosen))
    async for chunk in replace(bulk, rate=bulk.rate or RATE).chunks(chosen, _CHUNK):
        says.count(await questions.ask(chunk))
        if questions.ended:
            break
    if says.asked < says.wanted:
        says.ended = questions.ended or "it was interrupted"
    return says


def sample(eligible: Sequence[str]) -> Sequence[str]:
    """Return at most `SAMPLE` of the groups, spread evenly: a list is mostly in the order of time, or of customers."""
    if len(eligible) <= SAMPLE:
        return eligible
    return [eligible[place * len(eligible) // SAMPLE] for place in range(SAMPLE)]
