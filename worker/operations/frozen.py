"""Looks up a selection once and freezes it: exactly these closures are acted upon, whatever matches the filter later.

So what the operator has seen and confirmed is what is done.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from tasks.closure import State
from tasks.hold import Hold
from worker.operations.context import OperatorContext
from worker.operations.operator import PERMISSIONS, Verb
from worker.operations.selection import Selection, named

# By reference, the state of its closure (None: not known), and when it had entered that (ms since the epoch).
_Known = dict[str, tuple[State | None, int]]
_CHUNK = 200
_HOLDS_SHOWN = 5


@dataclass(frozen=True, slots=True)
class FrozenSelection:
    """What was chosen for one verb, as it was when it was looked up.

    `selection`: what the operator asked for, with absolute times. `eligible`: the references in a state that the verb
    acts upon. `skipped`: how many are in each other state, or `unknown`. `holds`: the holds of named groups that are
    skipped because somebody holds them, the first few. `entered`: when those that are failed or held had entered their
    state (ms since the epoch, store's clock). A hold takes effect whatever has happened since, so it has none.
    """

    verb: Verb
    selection: Selection
    eligible: list[str]
    skipped: dict[str, int]
    holds: dict[str, Hold] = field(default_factory=dict)
    entered: dict[str, int] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """The name of exactly this set: a hash of the eligible references in their order."""
        return digest_of(self.eligible)

    @property
    def matched(self) -> int:
        """How many closures were chosen, eligible or not."""
        return len(self.eligible) + sum(self.skipped.values())

    @property
    def everything(self) -> bool:
        """Whether the operator gave neither references nor conditions."""
        return self.selection.everything

    @property
    def size(self) -> int | None:
        """How many closures would be acted upon."""
        return len(self.eligible)

    def check(self) -> None:
        """Raises Refused when the selection itself breaks a rule."""
        self.selection.check()

    def named(self) -> dict[str, Any]:
        """Return the selection as the audit keeps it: the references (see `named`), or the filter."""
        references = self.selection.references
        return named(references, "references") if references else self.selection.as_json()


def digest_of(items: Sequence[str]) -> str:
    """Return the name of exactly these items in their order: a hash of them."""
    return sha256("\n".join(items).encode()).hexdigest()[:16]


async def freeze(context: OperatorContext, verb: Verb, selection: Selection, why: str = "") -> FrozenSelection:
    """Look up what is chosen, and which of it the verb acts upon.

    `why`: the operator's reason, which the guard may ask for. Raises Refused, before anything is looked up, and
    StoreUnavailable.
    """
    context.guard(verb, selection, why)
    selection = selection.at(await context.now_ms())
    holds: dict[str, Hold] = {}
    known = await (_named(context, selection, holds) if selection.references else _matching(context, selection))
    states: Set[State | None] = PERMISSIONS[verb].states | ({None} if PERMISSIONS[verb].unknown else set())
    skipped = Counter("unknown" if state is None else state.value for state, _ in known.values() if state not in states)
    eligible = [reference for reference, (state, _) in known.items() if state in states]
    checked = () if verb is Verb.HOLD else (State.FAILED, State.HELD)
    entered = {reference: known[reference][1] for reference in eligible if known[reference][0] in checked}
    return FrozenSelection(verb, selection, eligible, dict(skipped), {} if State.HELD in states else holds, entered)


async def _named(context: OperatorContext, selection: Selection, holds: dict[str, Hold]) -> _Known:
    """Return the state of each named group. Puts the holds of the first few that are held into `holds`."""
    known: _Known = {}
    for start in range(0, len(selection.references), _CHUNK):
        chunk = selection.references[start : start + _CHUNK]
        for reference, closure in zip(chunk, await context.ledger.read(chunk), strict=True):
            known[reference] = (closure.state, closure.entered_ms) if closure else (None, 0)
            if closure and closure.hold and len(holds) < _HOLDS_SHOWN:
                holds[reference] = closure.hold
    return known


async def _matching(context: OperatorContext, selection: Selection) -> _Known:
    query = selection.filter.query(await context.now_ms())
    found = context.ledger.catalogue.references(query)
    return {reference: (state, entered_ms) async for reference, state, entered_ms in found}
