"""Checks which API the ledger is for, and moves the ledger to another address."""

from __future__ import annotations

from tasks.api.address import api_address
from tasks.errors import CloserError, ForeignApi
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb


async def refuse_other_api(context: OperatorContext) -> None:
    """Raises ForeignApi when the ledger is for another API than the settings name. Call it before each call of the API.

    Raises StoreUnavailable, too.
    """
    ours, ledgers = api_address(context.settings.api_base_url), await context.ledger.policy.api()
    if ledgers not in (None, ours):
        raise ForeignApi(str(ledgers), ours)


async def move_api(context: OperatorContext, *, why: str) -> tuple[str | None, str]:
    """Make the API that the settings name the ledger's, and return the address before (None for none) and now.

    Raises Refused; CloserError while workers are alive that may call another API, because they would close groups
    there; and StoreUnavailable.
    """
    context.guard(Verb.MOVE_API, why=why)
    before, now = await context.ledger.policy.api(), api_address(context.settings.api_base_url)
    others = await context.ledger.policy.move_api(
        now, by=context.operator.signature, why=why, door=context.operator.door
    )
    if others:
        raise CloserError(
            f"nothing was moved: {', '.join(others)} may still call {before or 'another API'}.\n"
            "Stop every worker, then run this again. One that was killed counts for a minute."
        )
    return before, now
