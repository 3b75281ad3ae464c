"""`/metrics`: the fleet's metrics for Prometheus, also while the store is away."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import Response

from tasks.errors import LedgerBroken, StoreUnavailable
from worker.operations.context import OperatorContext
from worker.operations.metrics import FleetMetrics
from worker.web.site import Site

_ASK_S = 0.15  # with the snapshot's own limit this stays under a second
_REMEMBERED = 100


class FleetPage:
    """Answers scrapes, all of them from one snapshot a second."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._metrics = FleetMetrics()
        self._let_in: OrderedDict[str, OperatorContext] = OrderedDict()

    async def answer(self, request: Request) -> Response:
        """Return the metrics. Raises Problem, Refused and StoreUnavailable."""
        text = await self._metrics.text(await self._context(request))
        return Response(text, media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def _context(self, request: Request) -> OperatorContext:
        """Return who asks. While the store is away, who was let in before is let in again with the same header."""
        header = request.headers.get("authorization", "")
        before = self._let_in.get(header)
        try:
            async with asyncio.timeout(_ASK_S if before else None):
                context = await self._site.context(request)
        except (StoreUnavailable, LedgerBroken, TimeoutError):
            if before is None:
                raise
            return before
        self._let_in[header] = context
        self._let_in.move_to_end(header)
        while len(self._let_in) > _REMEMBERED:
            self._let_in.popitem(last=False)
        return context
