"""The simulated API with the replies to each group scripted, and every call kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate

from worker.simulator import script as simulated
from worker.simulator.script import Answer, Call, Endpoint, Hang, Own, Raw
from worker.simulator.server import Simulator, run_in_thread

BASE_PATH = "/pro"


@dataclass(frozen=True, slots=True)
class Say:
    """An HTTP reply; `REF` in the body stands for the reference.

    With `on_date` it has a `Retry-After` with that date: a function of the moment of the call, in seconds since 1970.
    """

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    on_date: Callable[[float], int] | None = None

    def to(self, call: Call) -> simulated.Reply:
        """The reply to this call."""
        date = {"Retry-After": formatdate(self.on_date(call.on), usegmt=True)} if self.on_date else {}
        body = self.body.replace("REF", call.reference).encode()
        return simulated.Reply(self.status, body, headers={**self.headers, **date})


Reply = Say | Raw | Hang


@dataclass(frozen=True, slots=True)
class Script:
    """What is replied to each call in turn, the last for ever; an endpoint without replies must not be called."""

    close: tuple[Reply, ...]
    state: tuple[Reply, ...] = ()
    lock: tuple[Reply, ...] = ()

    def reply(self, endpoint: Endpoint, number: int) -> Reply:
        """The reply to the n-th call (from 0) of this endpoint."""
        replies = {"close": self.close, "get": self.state, "lock": self.lock}.get(endpoint, ())
        return replies[min(number, len(replies) - 1)] if replies else Say(599, "a call that was not expected")


class StandIn:
    """The script of all groups; references without one of their own get `default`."""

    def __init__(self, scripts: Mapping[str, Script], default: Script) -> None:
        self.calls: list[Call] = []
        self._scripts = scripts
        self._default = default

    def of(self, reference: str) -> list[Call]:
        """The calls for this reference, in order."""
        return [call for call in self.calls if call.reference == reference]

    async def __call__(self, call: Call, _: Own) -> Answer:
        """Answer one request."""
        number = sum(each.endpoint == call.endpoint for each in self.of(call.reference))
        self.calls.append(call)
        reply = self._scripts.get(call.reference, self._default).reply(call.endpoint, number)
        return reply.to(call) if isinstance(reply, Say) else reply


@contextmanager
def running(stand_in: StandIn) -> Iterator[str]:
    """The base URL of a simulator with this script, in a thread of its own."""
    with run_in_thread(Simulator(script=stand_in, base_path=BASE_PATH)) as (base_url, _):
        yield base_url
