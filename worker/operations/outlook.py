"""Says of one closure what happens next, and when."""

from __future__ import annotations

from tasks.closure import Closure, State
from tasks.history import iso
from tasks.ledger.gate import Gate
from worker.operations.context import OperatorContext

_UNFINISHED = (State.QUEUED, State.RETRYING)
_ENDED = {
    State.FAILED: "Nobody attempts it until an operator re-queues it, or a new event comes for it.",
    State.HELD: "Nobody calls it until it is released.",
    State.CLOSED: "Nothing: its group is closed.",
    State.DISCARDED: "Nothing: it was given up. Recalling the action that did so gives it back.",
}


async def look(context: OperatorContext, closure: Closure) -> str:
    """Return what happens next to a closure. Raises StoreUnavailable."""
    gate = await context.ledger.gate.look() if closure.state in _UNFINISHED else None
    owner = await context.ledger.bulk.owner(closure.reference) if closure.state is State.FAILED else None
    return outlook(closure, gate, owner)


def outlook(closure: Closure, gate: Gate | None, owner: tuple[str, str] | None) -> str:
    """Return what happens next to a closure.

    `gate`: for one that is not finished. `owner`: of a failed one, id and verb of the bulk action that will come
    to it; None when there is none.
    """
    if closure.state is State.CLOSING:
        return _closing(closure)
    if owner is not None:
        return f"Action {owner[0]} will {owner[1]} it, and counts it among its items until then."
    if closure.hold and closure.hold.source is not None:
        return (
            f"Nobody calls it until it is released, or a later event of {closure.hold.source} says that it is complete."
        )
    if closure.state in _ENDED:
        return _ENDED[closure.state]
    if gate is not None and gate.gravest is not None:
        return f"It is not attempted while the gate is shut ({gate.gravest.reason}). After that it is due."
    if closure.next_attempt_ms is None:
        return "A worker attempts it as soon as one is free."
    return f"It is attempted when its time has come, at {iso(closure.next_attempt_ms)}."


def _closing(closure: Closure) -> str:
    if closure.recall:
        return f"An attempt is under way. When it ends without a call, action {closure.recall} takes the re-queue back."
    if closure.hold:
        return "An attempt is under way. It may still close the group; when it has ended, nobody calls it again."
    return "An attempt is under way."
