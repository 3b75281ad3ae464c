"""What a script is: it sees each call of the simulated API and says what comes back.

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
    """An HTTP reply. Without a body it has no content type either."""

    status: int
    body: bytes | None = None
    content_type: str = "application/json"
    headers: Mapping[str, str] | None = None


class Raw(NamedTuple):
    """These bytes in place of a reply, whatever HTTP makes of them.

    With `end` the connection is closed after them. With `every_s` they drip: one byte, then so many seconds.
    """

    sent: bytes = b""
    end: bool = True
    every_s: float = 0.0


class Hang(NamedTuple):
    """No reply, for as long as the client waits."""


Answer = Reply | Raw | Hang
DROPPED = Raw()


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it arrived.

    `endpoint` is "other" when the path is none of the API's; `reference` is then the path. `number` counts the
    group's calls at all endpoints from 1 (0 without a group), `connection` the connections. `at` is seconds of
    the monotonic clock, `on` seconds since 1970.
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
