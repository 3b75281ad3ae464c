"""The ledger against a simple model: whatever is done, in whatever order, nothing is lost and nothing is doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import redis as sync_redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test
from redis.asyncio import Redis

from tasks.api_health import ApiHealth
from tasks.closure import OPEN_STATES, TRANSITIONS, Outcome, Reason, State
from tasks.events.event import GroupComplete
from tasks.history import Attempt
from tasks.ledger.codec import pack_attempt
from tasks.ledger.values import Claim, Observation, Settlement
from tests.fake_store import FakeStore
from tests.support import key_of
from tests.tasks.book import GRACE_S, LEASE_S, Book
from tests.tasks.bulk_rules import BulkRules

T = TypeVar("T")
REFERENCES = ["a", "b"]
references = st.sampled_from(REFERENCES)
ENDS: list[dict[str, Any]] = [
    {"to": State.CLOSED, "outcome": Outcome.CLOSED},
    {"to": State.CLOSED, "outcome": Outcome.ALREADY_CLOSED},
    {"to": State.FAILED, "reason": Reason.GONE},
    {"to": State.FAILED, "reason": Reason.FORBIDDEN, "health": ApiHealth.FORBIDDEN},
    {"to": State.RETRYING, "delay_s": 20.0, "health": ApiHealth.BAD},
    {"to": State.RETRYING, "delay_s": 20.0, "missing": True},
    {"to": State.RETRYING, "delay_s": 20.0, "health": ApiHealth.BAD, "hold_s": 15.0, "told": True},
    {"to": State.QUEUED, "health": ApiHealth.UNAUTHORISED},
    {"to": State.QUEUED, "health": ApiHealth.UNKNOWN},
]


class LedgerMachine(BulkRules):
    """Events, workers, operators and time, in any order. The model: each closure's state, and who holds a lease."""

    def __init__(self, store: Callable[[], Redis]) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.book = Book(store())
        self.states: dict[str, State] = {}
        self.claims: list[Claim] = []
        self.leases: dict[str, tuple[int, int]] = {}  # lease number, end in ms
        self.held: dict[str, bool] = {}  # whether the hold was pending when it was last asked about
        self.not_before: dict[str, int] = {}  # ms
        self.events = 0
        self.keys = 0

    def teardown(self) -> None:
        """However it ended, with the gate open and time enough every closure can be brought to its end."""
        self.do(self.book.check_notices())
        self.do(self._finish())
        self.do(self.book.check_notices())
        self.do(self.book.redis.aclose())
        self.runner.close()

    async def _finish(self) -> None:
        await self.book.ledger.holds.release(REFERENCES)
        self.book.clock.ms = max([self.book.clock.ms, *self.not_before.values()])
        for _ in range(12):
            await self._reopen()
            self.book.clock.forward(LEASE_S)
            await self.book.alive(w=self.key)
            for reference in await self.book.due(key=self.key):
                await self.book.closed(await self.book.claim(reference, key=self.key), key=self.key)
        closures = await self.book.ledger.read(list(self.states))
        assert not [closure for closure in closures if closure and closure.state in OPEN_STATES], "stuck"

    @property
    def key(self) -> str:
        """The name of the workers' key; each time the gate is opened they have a new one."""
        return f"key-{self.keys}"

    async def _reopen(self) -> None:
        self.keys += 1
        await self.book.open_gate(self.key)

    @rule(reference=references, event_id=st.sampled_from(["e1", "e2"]))
    def receive(self, reference: str, event_id: str) -> None:
        """An event comes."""
        [word] = self.do(self.book.receive(reference, event_id=event_id))
        self.states.setdefault(reference, State.HELD if reference in self.held else State.QUEUED)
        assert (word == "held") <= (reference in self.held)

    @rule(reference=references, seconds=st.sampled_from([-1.0, 10.0, LEASE_S, 700.0]))
    def receive_for_later(self, reference: str, seconds: float) -> None:
        """An event comes that names a time before which the group must not be closed."""
        self.events += 1
        not_before_ms = self.book.clock.ms + round(seconds * 1000)
        event = GroupComplete(reference, "wms", f"later-{self.events}", not_before_ms=not_before_ms)
        [word] = self.do(self.book.ledger.receive([event]))
        self.states.setdefault(reference, State.HELD if reference in self.held else State.QUEUED)
        if self.states[reference] not in (State.CLOSED, State.DISCARDED):
            self.not_before[reference] = max(not_before_ms, self.not_before.get(reference, 0))
        assert (word == "held") <= (reference in self.held)

    @rule(reference=references)
    def hold(self, reference: str) -> None:
        """An operator holds a group, whatever its state; a known one that is closed or discarded is not held."""
        before = self.states.get(reference)
        [answer] = self.do(self.book.ledger.holds.hold([reference], by="ann", why="test"))
        number, ends = self.leases.get(reference, (0, 0))
        live = before is State.CLOSING and ends > self.book.clock.ms
        if before in (State.CLOSED, State.DISCARDED):
            assert answer.word.value == before.value
            return
        assert (answer.word == "already") == (reference in self.held)
        assert (answer.lease_s is not None) == live
        self.held[reference] = live
        if not live:
            self.states[reference] = State.HELD
            self.leases[reference] = (number, 0)

    @rule(reference=references)
    def release(self, reference: str) -> None:
        """An operator releases a group: only one that is held, and it is never closed by that."""
        [answer] = self.do(self.book.ledger.holds.release([reference]))
        assert (answer.word == "not held") == (reference not in self.held)
        self.held.pop(reference, None)
        if answer.word == "forgotten":
            self.states.pop(reference)
            self.leases.pop(reference, None)

    @rule(reference=references, late=st.booleans())
    def work(self, reference: str, late: bool) -> None:
        """A worker takes what it can, perhaps after another's lease has ended."""
        self.do(self._reopen())
        self.receive(reference, "e3")
        self.book.clock.forward(LEASE_S if late else 0)
        self.claim(reference, 0.0)

    @rule(reference=references)
    def give_up(self, reference: str) -> None:
        """A worker fails, long after another's lease has ended, and an operator discards what failed."""
        self.work(reference, late=True)
        closure = self.do(self.book.read(reference))
        if closure.state is State.CLOSING:
            number, _ = self.leases[reference]
            end = Settlement(reference, number, State.FAILED, reason=Reason.GONE)
            assert self.do(self.book.ledger.settle([end])).written == [True]
            self.leases[reference] = (number, 0)
            self.states[reference] = State.FAILED
            self.discard(reference)

    @rule(seconds=st.sampled_from([0.001, 1, 20, GRACE_S, LEASE_S, 500]))
    def forward(self, seconds: float) -> None:
        """Time passes."""
        self.book.clock.forward(seconds)

    @rule(limit=st.integers(1, 4), most=st.integers(1, 8))
    def due(self, limit: int, most: int) -> None:
        """A sweep takes what is due."""
        taken = self.do(self.book.due(limit, most, self.key))
        assert len(taken) <= limit

    @rule(reference=references)
    def undispatch(self, reference: str) -> None:
        """A message was not sent."""
        self.do(self.book.ledger.undispatch([reference]))

    @rule(reference=references, rate=st.sampled_from([0.0, 10.0]))
    def claim(self, reference: str, rate: float) -> None:
        """A worker claims: never while another's lease runs, with a new lease number each time."""
        result = self.do(
            self.book.ledger.claim([reference], worker="w", lease_s=LEASE_S, rate_limit=rate, key=self.key)
        )[reference]
        if isinstance(result, Claim):
            number, ends = self.leases.get(reference, (0, 0))
            assert ends <= self.book.clock.ms, "two live leases"
            assert result.lease > number
            assert reference not in self.held, "called while it is held"
            assert self.not_before.get(reference, 0) <= self.book.clock.ms, "called before its time"
            self.leases[reference] = (result.lease, self.book.clock.ms + round((LEASE_S + result.wait_s) * 1000))
            self.claims.append(result)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), end=st.sampled_from(ENDS[2:] * 2 + ENDS[:2]))
    def settle(self, data: st.DataObject, end: dict[str, Any]) -> None:
        """A worker settles, perhaps long after it lost its lease, perhaps twice."""
        claim = data.draw(st.sampled_from(self.claims))
        reference, state = claim.reference, self.states[claim.reference]
        number, _ = self.leases.get(reference, (0, 0))
        mine = state is State.CLOSING and number == claim.lease
        fact = end["to"] is State.CLOSED and state is not State.CLOSED
        packed = None if end["to"] is State.QUEUED else pack_attempt(Attempt(claim.at_ms, "w", verdict=end["to"].value))
        settlement = Settlement(reference, claim.lease, packed=packed, **end)
        [written], _ = self.do(self.book.ledger.settle([settlement], key=self.key))
        assert written == (mine or fact)
        if written:
            self.called |= {reference} if packed else set()
            self.leases[reference] = (number if end["to"] is not State.CLOSED else 0, 0)

    @rule(reference=references, lock=st.booleans())
    def requeue(self, reference: str, lock: bool) -> None:
        """An operator re-queues: only what has failed."""
        [word] = self.do(self.book.ledger.requeue([reference], lock=lock))
        assert (word == "done") == (self.states.get(reference) is State.FAILED)

    @precondition(lambda self: self.states)
    @rule(reference=references, closed=st.booleans())
    def reconcile(self, reference: str, closed: bool) -> None:
        """An operator asks the API: that a group is closed counts in every state."""
        before = self.states.get(reference)
        entered_ms = self.do(self.book.read(reference)).entered_ms if before else 0
        [word] = self.do(self.book.ledger.reconcile([Observation(reference, closed, entered_ms)], audit="", others={}))
        assert (word == "done") == (before is not None and closed != (before is State.CLOSED))
        assert (word == "unknown") == (before is None)
        if word == "done" and closed:
            self.leases[reference] = (0, 0)
        elif word == "done":
            self.states[reference] = State.FAILED

    @rule(reference=references)
    def discard(self, reference: str) -> None:
        """An operator discards: only what has failed."""
        [word] = self.do(self.book.ledger.discard([reference]))
        assert (word == "done") == (self.states.get(reference) is State.FAILED)

    @rule(verb=st.sampled_from(["resume", "override", "start", "look", "pause", "new key", "sign of life"]))
    def gate(self, verb: str) -> None:
        """An operator shuts or opens the gate, a worker starts, or lives on."""
        ledger = self.book.ledger
        steps: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
            "resume": lambda: ledger.gate.resume(by="ann", why="test"),
            "override": lambda: ledger.gate.resume(by="ann", why="test", override_retry_after=True),
            "start": lambda: ledger.gate.start_slowly(self.key),
            "look": ledger.gate.look,
            "pause": lambda: ledger.gate.pause(by="ann", why="test"),
            "new key": self._reopen,
            "sign of life": lambda: self.book.alive(w=self.key),
        }
        self.do(steps[verb]())

    @rule()
    def inspect(self) -> None:
        """The inspection finds nothing in a ledger that nobody has damaged."""
        found = self.do(self.book.ledger.inspector.step(lease_s=LEASE_S))
        assert found.happened == ""
        assert (found.agenda, found.index, found.stale, found.aside, found.unknown) == (0, 0, 0, 0, 0)

    @invariant()
    def holds(self) -> None:
        """Nothing lost, one state each, moves as in the table, the agenda holds exactly what is unfinished."""
        if self.states:
            self.do(self._holds())

    async def _holds(self) -> None:
        listed: Any = await self.book.redis.zrange(key_of("agenda"), 0, -1)
        agenda = {ref.decode() for ref in listed}
        for reference, before in self.states.items():
            now = await self.book.state(reference)
            between = {before} | TRANSITIONS[before]
            assert now in between | {after for state in between - {State.CLOSED} for after in TRANSITIONS[state]}
            if before is State.CLOSED:
                assert now is State.CLOSED
            if now is State.CLOSED:
                self.held.pop(reference, None)
                self.not_before.pop(reference, None)
            assert (now is State.HELD) <= (reference in self.held)
            assert (reference in self.held) <= (now in (State.HELD, State.CLOSING))
            assert ((await self.book.read(reference)).hold is not None) == (reference in self.held)
            assert (reference in agenda) == (now in OPEN_STATES)
            self.states[reference] = now
        assert agenda <= set(self.states)


def run(store: Callable[[], Redis], examples: int) -> None:
    """Try so many examples."""
    machine: Any = partial(LedgerMachine, store)
    run_state_machine_as_test(machine, settings=settings(max_examples=max(examples, 1), stateful_step_count=40))


def test_on_the_fake_store() -> None:
    """The model holds on fakeredis, with few examples."""
    run(FakeStore, settings().max_examples // 12)


def test_on_a_real_store(store_url: str) -> None:
    """The model holds on a real Valkey, with many examples: its Lua is the one that counts, and it is faster."""

    def emptied() -> Redis:
        with sync_redis.Redis.from_url(store_url) as client:
            client.flushall()
        return Redis.from_url(store_url)

    run(emptied, settings().max_examples // 2)
