"""Groups rejected events by what is wrong with them and by their type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.history import iso
from tasks.ledger.dead_letter import LetterHead
from tasks.ledger.entries import written_ms
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_filter import alike_all
from worker.operations.operator import Verb

_MOST = 1000  # groups; a sender that makes problems up must not fill the memory
_FURTHER = "further problems"


@dataclass(slots=True)
class LetterGroup:
    """Rejected events with the same problems and the same refused type.

    `problem`: the problems of the newest one. `letters`: how many are kept. `events`: how often such events came.
    `first_ms`, `last_ms`: when the first and the last came (ms since the epoch). `newest`: the id of the newest one.
    """

    problem: str
    type: str | None
    letters: int
    events: int
    first_ms: int
    last_ms: int
    newest: str

    def as_json(self) -> dict[str, Any]:
        """Return the group as other programs see it."""
        return {
            "problem": self.problem, "type": self.type, "rejected": self.letters, "count": self.events,
            "at": iso(self.first_ms), "last_at": iso(self.last_ms), "newest": self.newest,
        }  # fmt: skip

    def add(self, head: LetterHead, problem: str) -> None:
        """Count one more, which came first after all that were added before."""
        self.problem, self.newest = problem, head.rejected_id
        self.letters += 1
        self.events += head.times
        self.last_ms = max(self.last_ms, head.last_ms)


async def groups(context: OperatorContext) -> list[LetterGroup]:
    """Return the groups, the one with the most events first. Raises Refused and StoreUnavailable.

    The events themselves are not read into memory. After a thousand groups, all others count as one.
    """
    context.guard(Verb.REJECTED)
    found: dict[tuple[str, str | None], LetterGroup] = {}
    async for head in context.ledger.dead_letters.heads(await context.now_ms()):
        key, problem = (alike_all(head.problems), head.refused_type), "; ".join(head.problems)
        if key not in found and len(found) >= _MOST:
            key, problem = (_FURTHER, None), _FURTHER
        fresh = LetterGroup("", key[1], 0, 0, written_ms(head.rejected_id), head.last_ms, "")
        found.setdefault(key, fresh).add(head, problem)
    return sorted(found.values(), key=lambda group: -group.events)
