"""A Retry-After against whatever is done: nothing is let through before its end, unless an operator overrides it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import redis as sync_redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from redis.asyncio import Redis

from tasks.api_health import ApiHealth
from tasks.closure import Outcome, Reason, State
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Claim
from tests.fake_store import FakeStore
from tests.tasks.book import DEADLINE_S, GRACE_S, LEASE_S, Book

T = TypeVar("T")
KEYS = ["a", "b"]
REFERENCES = [f"sg_{number}" for number in range(4)]
HOLDS_S = [0.0, 0.001, 3.0, 30.0, 4000.0]
ENDS: list[dict[str, Any]] = [
    {"to": State.CLOSED, "outcome": Outcome.CLOSED},
    {"to": State.FAILED, "reason": Reason.FORBIDDEN, "health": ApiHealth.FORBIDDEN},
    {"to": State.RETRYING, "delay_s": 1.0, "health": ApiHealth.BAD},
    {"to": State.RETRYING, "delay_s": 1.0, "health": ApiHealth.BAD, "told": True},
    {"to": State.QUEUED, "health": ApiHealth.UNAUTHORISED},
    {"to": State.QUEUED, "health": ApiHealth.UNKNOWN},
]
keys, holds = st.sampled_from(KEYS), st.sampled_from(HOLDS_S)


class ThrottleMachine(RuleBasedStateMachine):
    """Workers with two keys, an operator, time, and a store's clock that is set. `free_s`: when calls may be made."""

    def __init__(self, store: Callable[[], Redis]) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.passed_s = 0.0
        self.book = Book(store(), stopwatch=lambda: self.passed_s)
        self.claims: list[tuple[Claim, str]] = []
        self.free_s = 0.0
        self.events = 0

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on this machine's loop."""
        return self.runner.run(work)

    def teardown(self) -> None:
        """Nothing else holds the fleet back in the end: what is free is let through."""
        self.do(self.book.check_notices())
        self.do(self._finish())
        self.do(self.book.redis.aclose())
        self.runner.close()

    async def _finish(self) -> None:
        await self._pass(max(self.free_s - self.passed_s, 0.0) + 0.1)
        await self.book.ledger.gate.resume()
        await self.book.alive(other="other")
        assert (await self.book.ledger.gate.look()).get("throttled") is None

    async def _pass(self, seconds: float) -> None:
        """Workers look at the store's clock often: one does in the end, too."""
        self.passed_s += seconds
        self.book.clock.forward(seconds)
        await self.book.alive(one="a", two="b")

    @rule(reference=st.sampled_from(REFERENCES))
    def receive(self, reference: str) -> None:
        """An event that queues the group anew where it had ended."""
        self.events += 1
        self.do(self.book.receive(reference, event_id=f"e{self.events}"))

    @rule(seconds=st.sampled_from([0.001, 1.0, 2.9, 15.0, GRACE_S, LEASE_S, 3000.0]))
    def forward(self, seconds: float) -> None:
        """Time passes."""
        self.do(self._pass(seconds))

    @rule(seconds=st.sampled_from([10.0, -10.0, 3600.0, -3600.0]), newcomer=st.sampled_from(["", "start", "resume"]))
    def jump(self, seconds: float, newcomer: str) -> None:
        """The store's clock is set; perhaps somebody who has never looked is the first to come."""
        self.do(self._pass(0.0))
        self.book.clock.forward(seconds)
        self.do(self._come(newcomer))
        self.do(self._pass(0.0))

    async def _come(self, newcomer: str) -> None:
        fresh = Ledger(self.book.redis, deadline_s=DEADLINE_S, clock=self.book.clock,
                       stopwatch=lambda: self.passed_s, sleep=self._sleep)  # fmt: skip
        if newcomer == "start":
            await fresh.gate.start_slowly("c")
        elif newcomer == "resume":
            await fresh.gate.resume()

    async def _sleep(self, seconds: float) -> None:
        await self._pass(seconds)

    @rule(verb=st.sampled_from(["pause", "resume", "resume", "override", "start", "gone", "new key", "inspect"]))
    def gate(self, verb: str) -> None:
        """An operator, a worker that starts or leaves, one with another key."""
        ledger = self.book.ledger
        if verb == "pause":
            self.do(ledger.gate.pause())
        elif verb in ("resume", "override"):
            self.do(ledger.gate.resume(override_retry_after=verb == "override"))
            self.free_s = self.passed_s if verb == "override" else self.free_s
        elif verb == "start":
            self.do(ledger.gate.start_slowly("a"))
        elif verb == "gone":
            self.do(ledger.heartbeats.write("one", None))
        elif verb == "new key":
            self.do(self.book.alive(three="c"))
        else:
            self.do(ledger.inspector.step(lease_s=LEASE_S))

    @rule(hold_s=holds)
    def ask(self, hold_s: float) -> None:
        """An operator's question is answered with Retry-After."""
        self.do(self.book.ledger.gate.throttle(hold_s))
        self.free_s = max(self.free_s, self.passed_s + hold_s)

    @rule(key=keys, rate=st.sampled_from([0.0, 2.0]))
    def work(self, key: str, rate: float) -> None:
        """A worker claims all that it can, what is due first: nothing is let through too early, nor is a question."""
        due = self.do(self.book.ledger.due(limit=10, grace_s=GRACE_S, most=10, key=key))
        claims = self.do(self.book.ledger.claim(REFERENCES, worker="w", lease_s=LEASE_S, rate_limit=rate, key=key))
        slot = self.do(self.book.ledger.gate.slot(rate, while_shut=("paused", "outage", "unauthorised")))
        got = [claim for claim in claims.values() if isinstance(claim, Claim)]
        if self.passed_s < self.free_s - 1e-6:
            assert (got, due.references, due.probe, slot.wait_s) == ([], [], None, None)
        self.claims += [(claim, key) for claim in got]

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), end=st.sampled_from(ENDS), hold_s=holds)
    def settle(self, data: st.DataObject, end: dict[str, Any], hold_s: float) -> None:
        """An attempt ends, however late, with or without a Retry-After."""
        claim, key = self.claims.pop(data.draw(st.integers(0, len(self.claims) - 1)))
        self.do(self.book.settle(claim, **(end | {"hold_s": hold_s}), key=key))
        self.free_s = max(self.free_s, self.passed_s + hold_s)


def run(store: Callable[[], Redis], examples: int) -> None:
    """Let Hypothesis look for a way around."""
    machine: Any = partial(ThrottleMachine, store)
    run_state_machine_as_test(machine, settings=settings(max_examples=max(examples, 1), stateful_step_count=30))


def test_on_the_fake_store() -> None:
    """No sequence of steps undercuts a Retry-After."""
    run(FakeStore, settings().max_examples // 12)


def test_on_a_real_store(store_url: str) -> None:
    """The same on a real store, whose Lua is the one that counts."""

    def emptied() -> Redis:
        with sync_redis.from_url(store_url) as client:
            client.flushall()
        return Redis.from_url(store_url)

    run(emptied, settings().max_examples // 2)
