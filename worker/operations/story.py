"""One closure's story: what happened to it, what operators did, what that means, and what to do."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tasks.closure import Closure
from tasks.history import OperatorAction, iso
from worker.operations import audit
from worker.operations.advice import FAILURES, Advice
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb
from worker.operations.selection import Selection
from worker.operations.step import Step
from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Story:
    """One closure, and what operators did to it, with the audit's entry where it is known."""

    closure: Closure
    actions: list[tuple[OperatorAction, audit.Announced | None]]

    @property
    def advice(self) -> Advice | None:
        """What its failure means, and what to do; None when it has not failed."""
        return FAILURES[self.closure.reason] if self.closure.reason else None

    @property
    def first_step(self) -> Step | None:
        """What to begin with, for this closure alone."""
        if self.closure.damaged:
            return Step(Verb.PUBLISH, Selection((self.closure.reference,)))
        if self.advice is None:
            return None
        first = self.advice.first
        return replace(first, selection=Selection((self.closure.reference,))) if first.selection else first

    def as_json(self) -> dict[str, Any]:
        """The closure with its history, as other programs see it."""
        advice, first = self.advice, self.first_step
        return self.closure.as_json() | {
            "history": [attempt.as_json() for attempt in self.closure.history],
            "actions": [_action(action, announced) for action, announced in self.actions],
            "meaning": advice and advice.meaning,
            "remedy": advice and advice.remedy,
            "first_step": first and first.as_json(),
        }


async def story(context: OperatorContext, reference: str) -> Story | None:
    """One closure's story, or None when the ledger does not know it. Raises Refused and StoreUnavailable."""
    context.guard(Verb.SHOW, Selection((reference,)))
    (closure,) = await context.ledger.read([reference])
    if closure is None:
        return None
    found = await audit.announced(context, [action.audit_id for action in closure.actions])
    return Story(closure, [(action, found.get(action.audit_id)) for action in closure.actions])


def curl(settings: Settings, reference: str) -> str:
    """The close call as a command, with the key left out: the shell puts it in."""
    return (
        f"curl -i -X POST '{settings.api_base_url.rstrip('/')}/shipment_groups/{reference}/close' \\\n"
        f"  -H \"x-api-key: $CLOSER_API_KEY\" -H 'x-api-version: {settings.api_version}' \\\n"
        "  -H 'Accept: application/json'"
    )


def _action(action: OperatorAction, announced: audit.Announced | None) -> dict[str, Any]:
    return {
        "at": iso(action.at_ms),
        "action": action.action,
        "by": announced and announced.name,
        "why": announced and announced.why,
        "audit_id": action.audit_id,
    }
