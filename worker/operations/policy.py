"""What the whole fleet goes by: the API that the ledger is for, and moving it to another address."""

from __future__ import annotations

from tasks.address import api_address
from tasks.errors import CloserError, ForeignApi
from worker.operations.desk import Desk


async def refuse_other_api(desk: Desk) -> None:
    """For whoever calls the API. Raises ForeignApi when the ledger is for another one than the settings name."""
    ours, ledgers = api_address(desk.settings.api_base_url), await desk.ledger.api()
    if ledgers not in (None, ours):
        raise ForeignApi(str(ledgers), ours)


async def move_api(desk: Desk, *, by: str, why: str) -> tuple[str | None, str]:
    """Make the ledger one for the API that the settings name; returns the address before, and the one now.

    Raises CloserError while workers are alive that may call another one.
    """
    before, now = await desk.ledger.api(), api_address(desk.settings.api_base_url)
    others = await desk.ledger.move_api(now, by=by, why=why)
    if others:
        raise CloserError(
            f"nothing was moved: {', '.join(others)} may still call {before or 'another API'}.\n"
            "Stop every worker, then run this again. One that was killed counts for a minute."
        )
    return before, now
