"""The verdict table as an API plays it: what it replies, and what must become of the group."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.end_to_end.standin import Reply, Say, Script
from worker.simulator.script import Hang, Raw

UNTIL_THE_DEADLINE = "…"
TOO_LARGE = "x" * (3 * 1024 * 1024)
PAGE = "<!doctype html><h1>Please sign in</h1>"


def error(status: int, code: str = "", child: str = "", subject: str = "reference", **headers: str) -> Say:
    """The documented error body."""
    details = [{"property": subject, "code": child, "message": "m"}] if child else []
    body = {"correlation_id": "c-REF", "code": code, "message": "already closed", "details": details, "_links": None}
    return Say(status, json.dumps(body), {name.replace("_", "-"): value for name, value in headers.items()})


def raw_304(rest: bytes) -> Raw:
    """A 304 with what HTTP forbids it."""
    return Raw(b"HTTP/1.1 304 Not Modified\r\n" + rest)


def status_of(reply: Reply) -> int | None:
    """The status that a client reads from this reply, if it can read one."""
    match reply:
        case Say(status):
            return status
        case Raw(sent) if sent.startswith(b"HTTP/1.1 "):
            return int(sent.split()[1])
        case _:
            return None


def state(word: str, reference: str = "REF") -> Say:
    """The documented shipment group."""
    return Say(200, json.dumps({"reference": reference, "shipments": ["sp_1"], "version": "1", "state": word}))


OK = Say(200, json.dumps({"reference": "REF", "message": "closed", "_links": [{"href": "/", "rel": "self"}]}))
OPEN, LOCKED, CLOSED = state("open"), state("locked"), state("closed")
CONFLICT = error(409, "conflict", "invalid_state_for_operation")
WRONG_STATE = error(400, "validation_error", "invalid_state_for_operation")
PROCESSING = error(404, "not_found", "shipment_group_processing")
# What a circuit breaker in a gateway says of itself, and what it may say with the path's reference in it.
BREAKER = Say(200, '{"state": "CLOSED"}')
BREAKER_OF_IT = Say(200, '{"code": "circuit", "reference": "REF", "state": "CLOSED"}')
# It tells a time after the deadline of all cases, and holds this group only: the fleet stands still for 429 and 503.
BEYOND = Say(500, "", {"Retry-After": "12"})
CUT = Raw(b"")
NOT_HTTP = Raw(b"SSH-2.0-OpenSSH_9.9\r\n")


@dataclass(frozen=True, slots=True)
class Case:
    """`ends`: closed, already_closed, or the reason of the failure; `calls`: the endpoints called, in order.

    Calls before "…" are repeated until the deadline; those after it follow. The reference is the case's name.
    """

    reference: str
    script: Script
    ends: str
    calls: str


def case(reference: str, close: list[Reply], ends: str, calls: str, *states: Reply) -> Case:
    """A case without locks."""
    return Case(reference, Script(tuple(close), states), ends, calls)


def again(reference: str, *replies: Reply) -> Case:
    """These replies are retried, each once, and then the group closes."""
    return case(reference, [*replies, OK], "closed", "close " * len(replies) + "close")


SUCCESS = [
    case("200-ok", [OK], "closed", "close"),
    case("200-of-another-reference-closed", [Say(200, '{"reference": "sg_2"}')], "closed", "close get", CLOSED),
    case("200-page-closed", [Say(200, PAGE)], "closed", "close get", CLOSED),
    case("200-page-open", [Say(200, PAGE), OK], "closed", "close get close", OPEN),
    case("200-empty-closed", [Say(200)], "closed", "close get", CLOSED),
    case("200-empty-open", [Say(200), OK], "closed", "close get close", OPEN),
    case("200-empty-locked", [Say(200), OK], "closed", "close get close", LOCKED),
    case("200-a-list", [Say(200, '["REF"]')], "closed", "close get", CLOSED),
    case("200-says-open", [state("open"), OK], "closed", "close get close", OPEN),
    case("200-with-an-error-code", [BREAKER_OF_IT, OK], "closed", "close get close", LOCKED),
    case("200-breaker-closed", [BREAKER], "closed", "close get", CLOSED),
    case("204-closed", [Say(204)], "closed", "close get", CLOSED),
    case("304", [Say(304)], "already_closed", "close"),
    case("304-with-a-body", [raw_304(b"Content-Length: 2\r\n\r\n{}")], "already_closed", "close"),
    case("304-chunked", [raw_304(b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n")], "already_closed", "close"),
    case("200-large-head", [Say(200, OK.body, {"X-Trace": "x" * 9_000})], "closed", "close"),
    case("200-with-a-mark", [Say(200, "\ufeff" + OK.body)], "closed", "close"),
    case("301-closed", [Say(301, "", {"Location": "/pro/elsewhere"})], "closed", "close get", CLOSED),
    case("302-open", [Say(302, "", {"Location": "/pro/elsewhere"}), OK], "closed", "close get close", OPEN),
    case("200-page-state-page", [Say(200, PAGE), OK], "closed", "close get close", Say(200, PAGE)),
]
REFUSED = [
    case(
        "400-format", [error(400, "validation_error", "invalid_reference_format")], "invalid_request", "close get", OPEN
    ),
    case(
        "400-headers",
        [error(400, "validation_error", "header_required", "x-api-version")],
        "invalid_request",
        "close get",
        LOCKED,
    ),
    case(
        "400-headers-closed",
        [error(400, "validation_error", "header_required", "x-api-version")],
        "already_closed",
        "close get",
        CLOSED,
    ),
    case("400-wrong-state-closed", [WRONG_STATE], "already_closed", "close get", CLOSED),
    case("400-wrong-state-open", [WRONG_STATE], "not_locked", "close get", OPEN),
    case("400-empty-locked", [Say(400), OK], "closed", "close get close", LOCKED),
    case("403", [error(403, "forbidden")], "forbidden", "close get", error(403, "forbidden")),
    case("403-closed", [error(403, "forbidden")], "already_closed", "close get", CLOSED),
    case("403-and-a-breaker", [error(403, "forbidden")], "forbidden", "close get", BREAKER),
    case("403-at-the-state", [CONFLICT], "forbidden", "close get", error(403, "forbidden")),
    case(
        "404-for-ever",
        [error(404, "not_found")],
        "not_found",
        "close close close close close get",
        error(404, "not_found"),
    ),
    case("404-closed", [error(404, "not_found")], "already_closed", "close close close close close get", CLOSED),
    again("404-then-200", error(404, "not_found")),
    again("404-processing", *[PROCESSING] * 6),
    case("410", [error(410, "gone")], "gone", "close get", error(410, "gone")),
    case("410-closed", [error(410, "gone")], "already_closed", "close get", CLOSED),
    case("410-state-503", [error(410, "gone")], "gone", "close get", Say(503)),
    case("410-at-the-state", [CONFLICT], "gone", "close get", error(410, "gone")),
]
AMBIGUOUS = [
    case("409-closed", [CONFLICT], "already_closed", "close get", CLOSED),
    case("409-closed-in-capitals", [CONFLICT], "already_closed", "close get", state("Closed")),
    case("409-open", [CONFLICT], "not_locked", "close get", OPEN),
    case("409-locked-then-200", [CONFLICT, OK], "closed", "close get close", LOCKED),
    case("409-locked-for-ever", [CONFLICT], "not_closable", "close get …", LOCKED),
    case("409-in-a-new-state", [CONFLICT], "unexpected_reply", "close get …", state("archived")),
    case("409-state-of-another", [CONFLICT, OK], "closed", "close get close", state("closed", "sg_2")),
    *(
        case(f"409-state-{name}", [CONFLICT], "deadline_exceeded", "close get …", Say(200, body))
        for name, body in (
            ("of-a-breaker", BREAKER.body),
            ("with-an-error-code", BREAKER_OF_IT.body),
            ("of-a-number", '{"reference": 12, "state": "closed"}'),
            ("of-two", '{"reference": "REF", "reference": "sg_2", "state": "closed"}'),
            ("in-a-list", '[{"reference": "REF", "state": "closed"}]'),
        )
    ),
    case("200-of-a-breaker", [BREAKER], "deadline_exceeded", "close get …", BREAKER),
    case("409-state-500", [CONFLICT], "already_closed", "close get close get", error(500), CLOSED),
    case("409-state-not-http", [CONFLICT], "already_closed", "close get close get", NOT_HTTP, CLOSED),
    case("418-closed", [error(418, "teapot")], "already_closed", "close get", CLOSED),
    case("418-open", [error(418, "teapot")], "not_locked", "close get", OPEN),
    case("429-conflict-closed", [error(429, "conflict")], "already_closed", "close get", CLOSED),
    case("429-conflict-open", [error(429, "conflict")], "not_locked", "close get", OPEN),
]
RETRIED = [
    again("408", error(408)),
    again("429-without-a-time", Say(429, '{"message": "Too many requests"}')),
    again("429-seconds", Say(429, "", {"Retry-After": "2"})),
    again("429-quoted", Say(429, "", {"Retry-After": '"1.0", 1s'})),
    again("503-seconds", Say(503, PAGE, {"Retry-After": "1"})),
    again("404-seconds", error(404, "not_found", Retry_After="1")),
    again("500", error(500, "internal_server_error")),
    again("502-page", Say(502, PAGE), Say(502, PAGE)),
    again("599", Say(599)),
    case("500-for-ever", [error(500, "internal_server_error")], "deadline_exceeded", "close … get", LOCKED),
    case("500-closed", [error(500, "internal_server_error")], "already_closed", "close … get", CLOSED),
    again("cut", CUT, CUT),
    again("cut-in-the-body", Raw(b'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"reference":')),
    again("hang", Hang()),
    again("too-large", Say(200, TOO_LARGE)),
    again("not-http", NOT_HTTP),
]
CASES = [*SUCCESS, *REFUSED, *AMBIGUOUS, *RETRIED]


def locking(reference: str, close: list[Reply], locks: list[Reply], ends: str, calls: str, *states: Reply) -> Case:
    """A case for a fleet that locks where needed."""
    return Case(reference, Script(tuple(close), states, tuple(locks)), ends, calls)


LOCKING = [
    locking("open", [CONFLICT, OK], [state("locked")], "closed", "close get lock close", OPEN),
    locking("locked-already", [CONFLICT, OK], [Say(304)], "closed", "close get lock close", OPEN),
    locking("locked-meanwhile", [CONFLICT, OK], [CONFLICT], "closed", "close get lock get close", OPEN, LOCKED),
    locking("lock-says-nothing", [CONFLICT, OK], [Say(200)], "closed", "close get lock get close", OPEN, LOCKED),
    locking("closed-meanwhile", [CONFLICT], [CONFLICT], "already_closed", "close get lock get", OPEN, CLOSED),
    locking("lock-forbidden", [CONFLICT], [error(403, "forbidden")], "forbidden", "close get lock", OPEN),
    locking("lock-gone", [CONFLICT], [error(410, "gone")], "gone", "close get lock", OPEN),
    locking(
        "lock-500",
        [CONFLICT, CONFLICT, OK],
        [error(500), state("locked")],
        "closed",
        "close get lock close get lock close",
        OPEN,
    ),
    locking("unlocked-again", [CONFLICT], [Say(304)], "not_locked", "close get lock close get …", OPEN),
    locking("closed", [Say(304)], [], "already_closed", "close"),
    locking("locked", [CONFLICT, OK], [], "closed", "close get close", LOCKED),
    # This fleet is held back for two seconds at most, so its deadlines hardly stand still.
    locking("told-a-time-beyond-the-deadline", [BEYOND], [], "deadline_exceeded", "close close get", LOCKED),
    locking("told-a-time-beyond-then-200", [BEYOND, OK], [], "closed", "close close"),
    locking("page", [Say(200, PAGE), OK], [], "closed", "close get close", OPEN),
]
