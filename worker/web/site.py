"""Holds what every request works with, and says who sends it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from tasks.ledger.ledger import Ledger
from worker.operations.accept import Accept
from worker.operations.context import OperatorContext
from worker.operations.identify import Identify
from worker.settings import Settings
from worker.web.access import DOOR, Access
from worker.web.local import is_here
from worker.web.rate import RateLimit
from worker.web.store_time import STORE_S


@dataclass(frozen=True, slots=True)
class Site:
    """One console. `access`: tells who a request is from. `accept`: takes events in."""

    settings: Settings
    ledger: Ledger
    access: Access
    accept: Accept

    @classmethod
    def of(cls, settings: Settings, ledger: Ledger) -> Site:
        """Make a console for this ledger."""
        limit, only_here = RateLimit(settings.http_rate_limit), is_here(settings.http_host)
        access = Access(Identify(ledger, DOOR, STORE_S), limit, only_here=only_here)
        return cls(settings, ledger, access, Accept(ledger, settings, STORE_S))

    async def context(self, request: Request) -> OperatorContext:
        """Return the context of whoever sends this request. Raises Problem and StoreUnavailable."""
        operator = await self.access.operator(request.headers)
        return OperatorContext(operator, self.settings, self.ledger)


async def visitor(request: Request) -> OperatorContext:
    """Return the context of a request for an endpoint, see `Site.context`."""
    site: Site = request.app.state.site
    return await site.context(request)


Visitor = Annotated[OperatorContext, Depends(visitor)]
