"""Checks which API the ledger is for, and moves the ledger to another address."""

from __future__ import annotations

from tasks.api.address import api_address
from tasks.errors import CloserError, ForeignApi
from tasks.ledger.ledger import Ledger
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb
from worker.settings import Settings


async def refuse_other_api(context: OperatorContext) -> None:
    """Raises ForeignApi when the ledger is for another API than the settings name. Call it before each call of the API.

    Raises StoreUnavailable, too.
    """
    await refuse_foreign_api(context.ledger, context.settings)


async def refuse_foreign_api(ledger: Ledger, settings: Settings) -> None:
    """Do the same where there is no operator."""
    ours, ledgers = api_address(settings.api_base_url), await ledger.policy.api()
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
