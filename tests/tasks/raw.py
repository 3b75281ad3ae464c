"""The simulated API made to send given bytes, whatever HTTP makes of them, and a client that listens."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import SecretStr

from tasks.api.client import SortedApi
from tests.support import API_KEY
from worker.simulator.script import Answer, Call, Own, Raw
from worker.simulator.server import Simulator


@dataclass
class RawServer:
    """The client, and the server."""

    api: SortedApi
    simulator: Simulator

    @property
    def connections(self) -> int:
        """How many connections the client has opened."""
        return self.simulator.connections


@asynccontextmanager
async def raw_server(replies: Sequence[bytes], *, shut: bool, timeout_s: float = 5.0) -> AsyncIterator[RawServer]:
    """Each request gets the next of the replies; after one the connection ends if `shut`, else it stays open."""
    left = list(replies)

    async def say(_call: Call, _own: Own) -> Answer:
        return Raw(left.pop(0), end=shut)

    simulator = Simulator(script=say)
    url = await simulator.start()
    api = SortedApi(base_url=url, key=SecretStr(API_KEY), version="1", timeout_s=timeout_s, connections=1)
    try:
        yield RawServer(api, simulator)
    finally:
        await api.aclose()
        await simulator.stop()
