"""What the whole fleet goes by: the API that the ledger is for, and moving it to another address."""

from __future__ import annotations

from tasks.api.address import api_address
from tasks.errors import CloserError, ForeignApi
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb


async def refuse_other_api(context: OperatorContext) -> None:
    """For whoever calls the API. Raises ForeignApi when the ledger is for another one than the settings name."""
    ours, ledgers = api_address(context.settings.api_base_url), await context.ledger.policy.api()
    if ledgers not in (None, ours):
        raise ForeignApi(str(ledgers), ours)


async def move_api(context: OperatorContext, *, why: str) -> tuple[str | None, str]:
    """Make the ledger one for the API that the settings name; returns the address before, and the one now.

    Raises Refused; CloserError while workers are alive that may call another one; and StoreUnavailable.
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
