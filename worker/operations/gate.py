"""Shuts and opens the gate by hand."""

from __future__ import annotations

from tasks.ledger.gate import Gate
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb
from worker.operations.refusal import Refused, Rule


async def pause(context: OperatorContext, *, why: str) -> Gate:
    """Stop all calls of the fleet until somebody resumes, and return the gate.

    The audit's entry is written in the same step. Raises Refused, also while an older release's ledger waits to be
    moved, and StoreUnavailable.
    """
    context.guard(Verb.PAUSE, why=why)
    if await context.older_ledger_waits():
        raise Refused(
            Rule.OLDER_LEDGER,
            "the ledger of an older release waits in this store, and no worker of this release has moved it yet: a "
            "pause here would not be found in it, and would keep the worker from moving it. Pause with the older "
            "release's closer; the move takes that pause over (docs/upgrading.md)",
        )
    return await context.ledger.gate.pause(by=context.operator.signature, why=why, door=context.operator.door)


async def resume(context: OperatorContext, *, why: str, override_retry_after: bool = False) -> Gate:
    """End a pause, make the next probe due at once, and return the gate with the reasons that still shut it.

    The audit's entry is written in the same step. A Retry-After of the API counts until its end, unless
    `override_retry_after` ends it. Raises Refused and StoreUnavailable.
    """
    context.guard(Verb.OVERRIDE if override_retry_after else Verb.RESUME, why=why)
    who = context.operator
    return await context.ledger.gate.resume(
        by=who.signature, why=why, door=who.door, override_retry_after=override_retry_after
    )
