"""Opening or shutting the gate by hand."""

from __future__ import annotations

from tasks.gate import Gate
from worker.operations.context import OperatorContext


async def pause(context: OperatorContext, *, by: str, why: str) -> Gate:
    """Make no more calls until somebody resumes; audited in the same step. Raises StoreUnavailable."""
    return await context.ledger.pause(by=by, why=why)


async def resume(context: OperatorContext, *, by: str, why: str, override_retry_after: bool = False) -> Gate:
    """End a pause and probe at once; audited in the same step. What still stands is in the gate that is returned.

    A Retry-After of the API stands until its end, unless `override_retry_after`. Raises StoreUnavailable.
    """
    return await context.ledger.resume(by=by, why=why, override_retry_after=override_retry_after)
