"""The door for events: `POST /v1/events`. It answers 202 when the store has them, and not before."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tasks.errors import CloserError
from worker.operations.accept import NotJson, OutOfScope, TooLarge, WrongEvents
from worker.operations.operator import Operator, Verb, guard
from worker.web import body
from worker.web.event_request import Mode, as_event, mode_of
from worker.web.problems import Json, Problem
from worker.web.site import Site, Visitor
from worker.web.store_time import store_time

_KEPT = 100


class Refusals:
    """The last requests of this process that were refused for what they hold. The store has nothing of them."""

    def __init__(self) -> None:
        self._last: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def add(self, sender: Operator, problem: Problem) -> None:
        """Remember a refusal, with the name of the token."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        told = {"status": problem.kind.status, "problem": problem.kind.name, "detail": str(problem)[:1000]}
        self._last.append({"at": at, "by": sender.name} | told)

    def newest(self) -> list[dict[str, Any]]:
        """Return them, the newest first."""
        return list(reversed(self._last))


class Door:
    """Takes events by HTTP."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.refusals = Refusals()

    async def answer(self, request: Request) -> Response:
        """Answer one request. Raises Problem and CloserError."""
        sender = await self._site.access.operator(request.headers)
        guard(sender, Verb.PUBLISH)  # before the body is read, which may be large
        try:
            return await self._take(request, sender)
        except Problem as problem:
            self.refusals.add(sender, problem)
            raise

    async def refused(self, visitor: Visitor) -> dict[str, Any]:
        """Return the last refusals of this process, the newest first."""
        visitor.guard(Verb.REJECTED)
        return {"refusals": self.refusals.newest()}

    async def _take(self, request: Request, sender: Operator) -> Response:
        mode = mode_of(request.headers)
        event = as_event(mode, request.headers.raw, await body.read(request, mode.most))
        try:
            async with store_time():
                taken = await self._site.accept(sender, event)
        except (NotJson, WrongEvents, TooLarge, OutOfScope) as error:
            raise _problem(error, mode) from None
        accepted = len(taken.ids) - taken.rejected
        document = {"accepted": accepted, "rejected": taken.rejected, "ids": taken.ids}
        return Json(document, 202)


def _problem(error: CloserError, mode: Mode) -> Problem:
    match error:
        case WrongEvents():
            errors = [{"index": one.index, "field": one.field, "problem": one.problem} for one in error.wrong]
            fields = {one.field.partition(".")[0] for one in error.wrong}
            by_header = mode is Mode.BINARY and not fields <= {"data", "event"}
            return Problem("wrong-headers" if by_header else "wrong-events", str(error), errors=errors)
        case OutOfScope():
            return Problem("out-of-scope", str(error), index=error.index)
        case TooLarge():
            return Problem("too-large", str(error))
        case _:
            return Problem("not-json", str(error))
