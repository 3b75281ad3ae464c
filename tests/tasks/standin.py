"""The simulated API with its replies scripted one by one, and every request kept."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from worker.simulator.script import DROPPED, Call, Hang, Own, Reply
from worker.simulator.script import Answer as Said
from worker.simulator.server import Simulator

REF = "sg_1"
Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]] | str
CLOSED = (200, {"reference": REF})
STOP_LIMIT_S = 0.1


def state(name: str) -> Answer:
    """The group's state."""
    return (200, {"reference": REF, "state": name})


@dataclass
class StandIn:
    """Gives the scripted answers in turn: (status, JSON or bytes[, headers]), "cut" or "hang".

    With `let` the simulator's own replies come instead, each once `let` is set.
    """

    url: str = ""
    script: deque[Answer] = field(default_factory=deque)
    requests: list[Call] = field(default_factory=list)
    let: asyncio.Event | None = None

    @property
    def calls(self) -> list[str]:
        """What was asked, in short: close, lock, state."""
        return ["state" if call.endpoint == "get" else call.endpoint for call in self.requests]

    async def __call__(self, call: Call, own: Own) -> Said:
        """The next answer of the script."""
        self.requests.append(call)
        if self.let is not None:
            await self.let.wait()
            return await own()
        answer = self.script.popleft()
        if isinstance(answer, str):
            return Hang() if answer == "hang" else DROPPED
        status, content, headers = (*answer, {})[:3]
        body = content if content is None or isinstance(content, bytes) else json.dumps(content).encode()
        return Reply(status, body, headers=headers)


@asynccontextmanager
async def stand_in(tls: ssl.SSLContext | None = None) -> AsyncIterator[StandIn]:
    """A stand-in that listens."""
    script = StandIn()
    simulator = Simulator(script=script, stop_limit_s=STOP_LIMIT_S)
    script.url = await simulator.start(tls=tls)
    try:
        yield script
    finally:
        await simulator.stop()
