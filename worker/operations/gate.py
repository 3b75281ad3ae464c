"""Opening or shutting the gate by hand."""

from __future__ import annotations

from tasks.ledger.gate import Gate
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb
from worker.operations.refusal import Refused, Rule


async def pause(context: OperatorContext, *, why: str) -> Gate:
    """Make no more calls until somebody resumes; audited in the same step. Raises Refused and StoreUnavailable."""
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
    """End a pause and probe at once; audited in the same step. What still stands is in the gate that is returned.

    A Retry-After of the API stands until its end, unless `override_retry_after`. Raises Refused and StoreUnavailable.
    """
    context.guard(Verb.OVERRIDE if override_retry_after else Verb.RESUME, why=why)
    who = context.operator
    return await context.ledger.gate.resume(
        by=who.signature, why=why, door=who.door, override_retry_after=override_retry_after
    )
