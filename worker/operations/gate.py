"""Opening or shutting the gate by hand."""

from __future__ import annotations

from tasks.ledger.gate import Gate
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb


async def pause(context: OperatorContext, *, why: str) -> Gate:
    """Make no more calls until somebody resumes; audited in the same step. Raises Refused and StoreUnavailable."""
    context.guard(Verb.PAUSE, why=why)
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
