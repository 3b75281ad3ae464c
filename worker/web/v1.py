"""The routes of the API, `/v1`. Each calls one operation, and answers with the JSON that the command line prints."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from tasks.history import iso
from tasks.ledger.values import Unreadable
from worker.operations import audit, dead_letters, gate, listing
from worker.operations.moment import Moment
from worker.operations.status import status
from worker.operations.story import story
from worker.web.metrics import FleetPage
from worker.web.problems import Json, Problem
from worker.web.query import AuditQuery, GroupQuery, ListQuery, PageQuery
from worker.web.site import Visitor
from worker.web.store_time import store_time

router = APIRouter()


class Pausing(BaseModel):
    """Why calls are to stop, for the audit."""

    model_config = ConfigDict(extra="forbid")
    why: str = Field("", max_length=1000)
    until: None = Field(None, description="A pause ends by `resume`; it has no end of its own yet.")


class Resuming(BaseModel):
    """Why calls are to go on, for the audit."""

    model_config = ConfigDict(extra="forbid")
    why: str = Field("", max_length=1000)
    override_retry_after: bool = Field(False, description="Call although the API asked to hold back; an admin may.")


@router.get("/v1/whoami", summary="Who you are, by your token")
async def whoami(visitor: Visitor) -> Response:
    """Return the name, role and binding of the token."""
    who = visitor.operator
    return Json({"name": who.name, "role": who.role, "sources": who.scope.sources, "prefixes": who.scope.prefixes})


@router.get("/v1/status", summary="What an operator sees first")
async def get_status(visitor: Visitor) -> Response:
    """Return what `closer status --json` prints."""
    async with store_time():
        return Json((await status(visitor)).as_json())


@router.get("/v1/closures", summary="Closures that match, page by page")
async def get_closures(visitor: Visitor, query: Annotated[ListQuery, Query()]) -> Response:
    """Return a page. One may have fewer than `limit`, or none, while `next` is not null: more were looked through."""
    chosen, place = query.filter(), query.place()
    async with store_time():
        page = await listing.page(visitor, chosen, limit=query.limit, order=query.order, cursor=place)
    closures = [closure.as_json() for closure in page.closures]
    return Json({"closures": closures, "next": page.next and str(page.next)})


@router.get("/v1/closure-groups", summary="Closures counted by what they have in common")
async def get_groups(visitor: Visitor, query: Annotated[GroupQuery, Query()]) -> Response:
    """Return counts. While `next` is not null they are of a part; the rest follows, to be added."""
    chosen, place = query.filter(), query.place()
    async with store_time():
        found, following = await listing.some_groups(visitor, chosen, query.by, place)
    groups = [
        {query.by: value, "count": group.count, "oldest_at": iso(group.oldest_ms),
         "oldest_reference": group.oldest_reference}
        for value, group in sorted(found.items(), key=lambda item: -item[1].count)
    ]  # fmt: skip
    return Json({"groups": groups, "next": following and str(following)})


@router.get("/v1/closures/{reference}", summary="One closure's story")
async def get_closure(visitor: Visitor, reference: str) -> Response:
    """Return what `closer show --json` prints. An emitter sees the closures that it may send events of."""
    async with store_time():
        found = await story(visitor, reference)
    if found is None:
        raise Problem("not-found", "the ledger does not know this reference")
    return Json(found.as_json())


@router.get("/v1/rejected", summary="Rejected events, the newest first")
async def get_rejected(visitor: Visitor, query: Annotated[PageQuery, Query()]) -> Response:
    """Return a page of what `closer rejected list --json` prints."""
    found: list[dict[str, Any]] = []
    async with store_time():
        async for one in dead_letters.newest(visitor, query.cursor or ""):
            found.append(one.as_json())
            if len(found) == query.limit:
                break
    return Json({"rejected": found, "next": found[-1]["id"] if len(found) == query.limit else None})


@router.get("/v1/audit", summary="What operators did, the newest first")
async def get_audit(visitor: Visitor, query: Annotated[AuditQuery, Query()]) -> Response:
    """Return a page of what `closer audit --json` prints."""
    found: list[dict[str, Any]] = []
    async with store_time():
        since_ms = Moment.parse(query.since).ms(await visitor.now_ms()) if query.since else 0
        async for entry in audit.entries(visitor, since_ms=since_ms, before=query.cursor or ""):
            if isinstance(entry, Unreadable) or query.by not in (None, entry.action.name):
                continue
            if query.action in (None, entry.action.action):
                found.append(entry.as_json())
            if len(found) == query.limit:
                break
    return Json({"entries": found, "next": found[-1]["id"] if len(found) == query.limit else None})


@router.post("/v1/gate/pause", summary="Stop all calls to the API")
async def pause(visitor: Visitor, body: Pausing) -> Response:
    """Return the gate."""
    async with store_time():
        return Json((await gate.pause(visitor, why=body.why)).as_json())


@router.post("/v1/gate/resume", summary="End a pause, and probe the API at once")
async def resume(visitor: Visitor, body: Resuming) -> Response:
    """Return the gate, with the reasons that still shut it."""
    override = body.override_retry_after
    async with store_time():
        return Json((await gate.resume(visitor, why=body.why, override_retry_after=override)).as_json())


@router.get("/metrics", summary="Metrics in the text format of Prometheus")
async def metrics(request: Request) -> Response:
    """Return what `closer metrics` prints, also while the store is away."""
    page: FleetPage = request.app.state.metrics
    return await page.answer(request)
