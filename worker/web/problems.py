"""What a client is told when its request was not done: `application/problem+json` (RFC 9457).

Each kind has an address at which the console explains it, and its paragraph in docs/http-api.md.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5


class Json(JSONResponse):
    """JSON in ASCII: what comes from outside may hold half a character, which cannot be written as UTF-8."""

    def render(self, content: Any) -> bytes:
        """Return the document's bytes."""
        return json.dumps(content).encode()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of problem. `name`: the last part of its address. `meaning`: what happened, and what to do next."""

    name: str
    status: int
    title: str
    meaning: str


_KINDS = (
    Kind(
        "not-json", 400, "The body is not JSON",
        "The body could not be read as JSON, or not as what its content type says. Nothing was taken. Correct "
        "the program that sends it; sending it again does not help.",
    ),
    Kind(
        "wrong-headers", 400, "A header is wrong",
        "An attribute of the event (ce-…) is missing or wrong, or a header stands twice. Nothing was taken. "
        "Correct the program that sends it.",
    ),
    Kind(
        "wrong-request", 400, "The request is wrong",
        "A field of the query or of the body is unknown or wrong; `errors` names each. Nothing was done.",
    ),
    Kind(
        "not-signed-in", 401, "A token is needed",
        "The request has no token, or one that is unknown, revoked or expired. Send `Authorization: Bearer "
        "TOKEN`. An admin makes one: `closer token create --name NAME --role ROLE`.",
    ),
    Kind(
        "from-outside", 403, "Without a token only this machine is let in",
        "There is no token yet, so the console serves programs and people on this machine alone, and this "
        "request may come from elsewhere. Make a token: `closer token create --name NAME --role ROLE`.",
    ),
    Kind(
        "not-permitted", 403, "The role may not do this",
        "The token's role may not do this, see the table of roles in docs/trust.md. Nothing was done.",
    ),
    Kind(
        "out-of-scope", 403, "The token is bound to other events",
        "The token is bound to sources or to the beginning of references, and an event is of another source "
        "or names another group. Nothing was taken. `closer token list` shows what it is bound to.",
    ),
    Kind(
        "not-found", 404, "There is no such thing",
        "The address is not one of the API's, or the ledger does not know what it names.",
    ),
    Kind(
        "wrong-method", 405, "The address does not take this method",
        "See docs/http-api.md for the methods of each address.",
    ),
    Kind(
        "too-slow", 408, "The body did not come in time",
        "The whole body must come within ten seconds. Nothing was taken. Send it again.",
    ),
    Kind(
        "too-large", 413, "The body is too large",
        "An event may have 64 KiB, and a batch 1 MiB and 1,000 events. Nothing was taken. Send smaller "
        "batches.",
    ),
    Kind(
        "wrong-content-type", 415, "The content type is not one of an event",
        "Send application/cloudevents+json, application/cloudevents-batch+json or application/json, or the "
        "headers ce-… of an event in binary mode. Nothing was taken.",
    ),
    Kind(
        "wrong-events", 422, "An event is wrong",
        "`errors` names each wrong event by its place, from 0, and what is wrong with it. Nothing of the "
        "request was taken or kept. Correct the program that sends it.",
    ),
    Kind(
        "refused", 422, "A rule of safety forbids it",
        "`rule` names the rule, and `detail` says what is missing, such as a reason. Nothing was done.",
    ),
    Kind(
        "too-many-requests", 429, "The token comes too often",
        "The token sent more requests a second than CLOSER_HTTP_RATE_LIMIT allows. Wait as long as "
        "Retry-After says.",
    ),
    Kind(
        "fault", 500, "closer has a fault",
        "The console's log has the error. If events were sent, nobody knows whether they were taken: send "
        "them again. An event that comes twice counts once.",
    ),
    Kind(
        "store-broken", 500, "A key of the ledger is broken",
        "The store answers, but a key of the ledger holds something else, or a newer closer has worked with "
        "it. `closer check` names it and says what to do.",
    ),
    Kind(
        "store-away", 503, "The store cannot be asked now",
        "The store is away, loading, read-only or full. If events were sent, they may have been taken: send "
        "them again after the time in Retry-After. An event that comes twice counts once.",
    ),
)  # fmt: skip
KINDS = {kind.name: kind for kind in _KINDS}


class Problem(Exception):
    """Ends a request with a problem. `kind`: its name. `more`: further members of the document."""

    def __init__(self, kind: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any) -> None:
        super().__init__(detail)
        self.kind = KINDS[kind]
        self.headers = headers or {}
        self.more = more

    def response(self, base: str = "") -> Response:
        """Return the response. `base`: the console's public address, "" where it has none."""
        kind = self.kind
        document = {"type": f"{base}/problems/{kind.name}", "title": kind.title, "status": kind.status}
        document |= {"detail": str(self)} | self.more
        return Json(document, kind.status, headers=self.headers, media_type=MEDIA_TYPE)


async def explain(request: Request) -> Response:
    """Serve what a kind of problem means: the address that is its `type`."""
    kind = KINDS.get(request.path_params["name"])
    if kind is None:
        raise Problem("not-found", "there is no problem of this name")
    return PlainTextResponse(f"{kind.title} ({kind.status})\n\n{kind.meaning}\n")
