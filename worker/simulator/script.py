"""Defines what a script is: it sees each call of the simulated API and decides what comes back.

A script is an async function of the call and of the simulator's own reply:

    async def lose_every_reply(call: Call, own: Own) -> Answer:
        await own()  # the call takes effect
        return DROPPED

It may await anything (a delay, an event of a test). A script that never calls `own` leaves the group as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

Endpoint = Literal["close", "lock", "unlock", "get", "get_custom", "other"]


class Reply(NamedTuple):
    """An HTTP reply. Without a body it has no content type."""

    status: int
    body: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] | None = None


class Raw(NamedTuple):
    """Bytes that are sent in place of a reply, whether they are valid HTTP or not.

    `end`: close the connection after them. `every_s`: send one byte, then wait so many seconds, and so on; 0 sends all
    at once.
    """

    sent: bytes = b""
    end: bool = True
    every_s: float = 0.0


class Hang(NamedTuple):
    """No reply comes, for as long as the client waits."""


Answer = Reply | Raw | Hang
DROPPED = Raw()


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived.

    `endpoint`: "other" if the path is not one of the API's; then `reference` is the path. `number`: counts the group's
    calls at all endpoints, from 1; 0 without a group. `connection`: the number of the connection, from 1. `at`: seconds
    on the monotonic clock. `on`: seconds since 1970.
    """

    endpoint: Endpoint
    reference: str
    number: int
    connection: int
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    on: float


Own = Callable[[], Awaitable[Answer]]
Script = Callable[[Call, Own], Awaitable[Answer]]
