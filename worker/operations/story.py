"""Tells one closure's story: what happened to it, what operators did, what that means, and what to do."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from typing import Any

from tasks.api.address import api_address
from tasks.closure import Closure
from tasks.history import OperatorAction, iso
from tasks.ledger.audit import Announced
from tasks.ledger.measures import Place
from worker.operations import outlook
from worker.operations.advice import FAILURES, Advice
from worker.operations.context import OperatorContext
from worker.operations.operator import Role, Verb
from worker.operations.selection import Selection
from worker.operations.step import Step


@dataclass(frozen=True, slots=True)
class Story:
    """One closure, and each operator's action on it with the audit's entry; None where that entry is not there.

    `next`: what happens next, and when; "" for an emitter. `place`: where it stands in time; None for an emitter.
    """

    closure: Closure
    actions: list[tuple[OperatorAction, Announced | None]]
    next: str = ""
    place: Place | None = None

    @property
    def advice(self) -> Advice | None:
        """What its failure means and what to do, None if it has not failed."""
        return FAILURES[self.closure.reason] if self.closure.reason else None

    @property
    def first_step(self) -> Step | None:
        """The step to begin with, for this closure alone; None if there is nothing to do."""
        if self.closure.damaged:
            return Step(Verb.PUBLISH, Selection((self.closure.reference,)))
        if self.closure.hold:
            return Step(Verb.RELEASE, Selection((self.closure.reference,)))
        if self.advice is None:
            return None
        first = self.advice.first
        return replace(first, selection=Selection((self.closure.reference,))) if first.selection else first

    def as_json(self) -> dict[str, Any]:
        """Return the closure with its history, its actions and the advice, as other programs see it."""
        advice, first, place = self.advice, self.first_step, self.place
        return self.closure.as_json() | {
            "history": [attempt.as_json() for attempt in self.closure.history],
            "cancel_events": [cancel.as_json() for cancel in self.closure.cancels],
            "actions": [_action(action, announced) for action, announced in self.actions],
            "meaning": advice and advice.meaning,
            "remedy": advice and advice.remedy,
            "first_step": first and first.as_json(),
            "next": self.next or None,
            "due_at": iso(place.due_ms) if place and place.due_ms is not None else None,
            "deadline_in_s": place and place.left_s,
        }


async def story(context: OperatorContext, reference: str) -> Story | None:
    """Return one closure's story, None if the ledger does not know it. Raises Refused and StoreUnavailable.

    An emitter follows what it may send itself, and knows of no other closure. What operators did is not its concern.
    """
    emitter = context.operator.role is Role.EMITTER
    context.guard(Verb.FOLLOW if emitter else Verb.SHOW, Selection((reference,)))
    (closure,) = await context.ledger.read([reference])
    if closure is None or not context.operator.scope.covers(closure.source, reference):
        return None
    if emitter:
        return Story(closure, [])
    found = await context.ledger.audit.announced([action.audit_id for action in closure.actions])
    actions = [(action, found.get(action.audit_id)) for action in closure.actions]
    place = await context.ledger.measures.place(reference)
    return Story(closure, actions, await outlook.look(context, closure), place)


async def curl(context: OperatorContext, reference: str) -> str:
    """Return the close call as a shell command, at the API that the ledger is for; before any worker, at ours.

    It names the variable CLOSER_API_KEY and never holds the key. Raises Refused and StoreUnavailable.
    """
    context.guard(Verb.SHOW, Selection((reference,)))
    address = await context.ledger.policy.api() or api_address(context.settings.api_base_url)
    address = address if address.isprintable() else ascii(address)  # another program wrote it
    version = f"x-api-version: {context.settings.api_version}"
    return (
        f"curl -i -X POST {shlex.quote(f'{address}/shipment_groups/{reference}/close')} \\\n"
        f'  -H "x-api-key: $CLOSER_API_KEY" -H {shlex.quote(version)} \\\n'
        "  -H 'Accept: application/json'"
    )


def _action(action: OperatorAction, announced: Announced | None) -> dict[str, Any]:
    return {
        "at": iso(action.at_ms),
        "action": action.action,
        "by": announced and announced.name,
        "why": announced and announced.why,
        "audit_id": action.audit_id,
        "action_id": (announced and announced.action_id) or None,
    }
