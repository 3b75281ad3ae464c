"""A ledger on an explicit clock, with the few steps that its tests are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from tasks.api_health import ApiHealth
from tasks.closure import Closure, Outcome, Reason, State
from tasks.events.event import GroupComplete
from tasks.history import Attempt
from tasks.ledger.codec import pack_attempt
from tasks.ledger.inspection import Inspected
from tasks.ledger.ledger import Ledger
from tasks.ledger.notices import Notice, NoticeKind
from tasks.ledger.values import Claim, Received, Settlement
from tests.support import key_of

START_MS = 1_700_000_000_000
_BEGINS = {NoticeKind.GATE_SHUT, NoticeKind.KEY_SUSPENDED}
_ENDS = {
    NoticeKind.GATE_REASON_OVER, NoticeKind.GATE_OPENED, NoticeKind.KEY_ACCEPTED, NoticeKind.KEY_FORGOTTEN
}  # fmt: skip
LEASE_S, GRACE_S, DEADLINE_S = 60.0, 30.0, 1000.0


class Clock:
    """The store's time in ms, as the test says."""

    def __init__(self) -> None:
        self.ms = START_MS

    def __call__(self) -> int:
        return self.ms

    def forward(self, seconds: float) -> None:
        """Let time pass."""
        self.ms += round(seconds * 1000)


class Book:
    """A ledger, its clock, and short words for what workers do."""

    def __init__(self, redis: Redis, stopwatch: Callable[[], float] | None = None) -> None:
        self.redis = redis
        self.clock = Clock()
        self.ledger = Ledger(redis, deadline_s=DEADLINE_S, clock=self.clock, stopwatch=stopwatch)

    async def receive(self, *references: str, event_id: str = "e1", source: str = "wms") -> list[Received]:
        """Receive an event for each."""
        return await self.ledger.receive([GroupComplete(ref, source, event_id) for ref in references])

    async def due(self, limit: int = 500, most: int = 1000, key: str = "") -> list[str]:
        """What is due now: what a message would name, or the probe of a worker with this key."""
        due = await self.ledger.due(limit=limit, grace_s=GRACE_S, most=most, key=key)
        return [due.probe] if due.probe else due.references

    async def alive(self, **keys: str) -> None:
        """Workers give a sign of life, each with its key."""
        for worker, key in keys.items():
            await self.ledger.heartbeats.write(worker, {"key": key})

    async def open_gate(self, key: str) -> None:
        """An operator ends every pause and wait, and a worker comes whose key was never refused."""
        await self.ledger.gate.resume(override_retry_after=True)
        await self.alive(**{f"worker-{key}": key})

    async def claim(self, reference: str, worker: str = "w1", rate_limit: float = 0.0, key: str = "") -> Claim:
        """Claim what can be claimed."""
        claims = await self.ledger.claim([reference], worker=worker, lease_s=LEASE_S, rate_limit=rate_limit, key=key)
        claim = claims[reference]
        assert isinstance(claim, Claim), claim
        return claim

    async def settle(self, claim: Claim, to: State, key: str = "", **more: Any) -> bool:
        """Settle a claim after a call; the API was in good health unless said otherwise."""
        packed = pack_attempt(Attempt(claim.at_ms, "w1", verdict=to.value))
        settlement = Settlement(claim.reference, claim.lease, to, packed, **({"health": ApiHealth.GOOD} | more))
        [written], _ = await self.ledger.settle([settlement], key=key)
        return written

    async def closed(self, claim: Claim, outcome: Outcome = Outcome.CLOSED, key: str = "") -> bool:
        """Settle as closed."""
        return await self.settle(claim, State.CLOSED, outcome=outcome, key=key)

    async def failed(self, reference: str, reason: Reason = Reason.GONE, **more: Any) -> None:
        """Make a closure that failed."""
        assert await self.settle(await self.claim(reference), State.FAILED, reason=reason, **more)

    async def check_notices(self) -> None:
        """Each reason that began to stand has its notice, and so has each that ended; the same for suspended keys."""
        await self.due()  # a reason whose time is over has its notice when it is next looked at
        page = await self.ledger.notices.read(limit=10_000)
        assert page.missed == 0
        begun, ended = Counter[str](), Counter[str]()
        for one in page.notices:
            assert isinstance(one, Notice)
            if one.kind in _BEGINS | _ENDS:
                (begun if one.kind in _BEGINS else ended)[one.fields.get("reason") or one.fields["key"]] += 1
        gate = await self.ledger.gate.look()
        standing = [*(one.reason for one in gate.standing), *(key.key for key in gate.suspended)]
        assert begun - ended == Counter(standing)
        assert not ended - begun

    async def inspect(self) -> Inspected:
        """Inspect until no round goes on; what the last one came to that has found something, or the last one."""
        ended: Inspected | None = None
        for _ in range(1000):
            found = await self.ledger.inspector.step(lease_s=LEASE_S)
            self.clock.ms += round(found.wait_s * 1000)
            ended = found if found.happened == "ended" else ended
            if found.wait_s > 1:
                return ended or found
        raise AssertionError("the inspection does not end")

    async def read(self, reference: str) -> Closure:
        """The closure."""
        [closure] = await self.ledger.read([reference])
        assert closure is not None
        return closure

    async def state(self, reference: str) -> State:
        """The state that the record names; asserts that exactly its index holds the closure."""
        closure = await self.read(reference)
        holding = [state for state in State if await self.redis.zscore(key_of(state), reference) is not None]
        assert holding == [closure.state]
        reasons = [reason for reason in Reason if await self.redis.zscore(key_of(f"failed:{reason}"), reference)]
        assert reasons == ([closure.reason] if closure.state is State.FAILED else [])
        return closure.state

    async def agenda(self, reference: str) -> float | None:
        """Seconds until someone must look at it; None: nobody."""
        at_ms = await self.redis.zscore(key_of("agenda"), reference)
        return None if at_ms is None else (at_ms - self.clock.ms) / 1000
