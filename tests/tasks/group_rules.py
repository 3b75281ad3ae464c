"""What events, workers, operators and time do to groups: rules that are tried on the ledger and on the model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from redis.asyncio import Redis

from tasks.api_health import ApiHealth
from tasks.closure import Outcome, Reason, State
from tasks.events.event import GroupComplete
from tasks.history import Attempt
from tasks.ledger.codec import pack_attempt
from tasks.ledger.values import Claim, Observation, Settlement
from tests.tasks.book import LEASE_S, Book
from tests.tasks.model_actions import Actions
from tests.tasks.model_groups import Group, Groups

T = TypeVar("T")
REFERENCES = ["a", "b", "c"]
references = st.sampled_from(REFERENCES)
ENDS: list[tuple[State, Reason | None]] = [
    (State.FAILED, Reason.GONE),
    (State.FAILED, Reason.NOT_LOCKED),
    (State.CLOSED, None),
    (State.RETRYING, None),
    (State.QUEUED, None),
]


class GroupRules(RuleBasedStateMachine):
    """Each rule is done to the ledger and to the model."""

    def __init__(self, store: Callable[[], Redis]) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.book = Book(store())
        self.groups = Groups(self.book.clock)
        self.actions = Actions(self.groups, self.book.clock)
        self.claims: list[Claim] = []

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on this machine's loop."""
        return self.runner.run(work)

    def known(self) -> list[Group]:
        """The groups that somebody has named."""
        return list(self.groups.known.values())

    @rule(reference=references, event_id=st.sampled_from("1234"), later_s=st.sampled_from([0, 0, 0, 30, 700]))
    def receive(self, reference: str, event_id: str, later_s: int) -> None:
        """An event comes, perhaps for later."""
        before = self.book.clock.ms + later_s * 1000
        self.do(self.book.ledger.receive([GroupComplete(reference, "wms", event_id, not_before_ms=before)]))
        self.groups.receive(reference, event_id, before)

    @rule(reference=references)
    def hold(self, reference: str) -> None:
        """An operator holds a group at once."""
        [answer] = self.do(self.book.ledger.holds.hold([reference], by="ann", why="test"))
        assert answer.word.value == self.groups.hold(reference)

    @rule(reference=references)
    def release(self, reference: str) -> None:
        """An operator releases a group at once."""
        [answer] = self.do(self.book.ledger.holds.release([reference]))
        assert answer.word.value == self.groups.release(reference)

    @rule(reference=references)
    def claim(self, reference: str) -> None:
        """A worker claims a group, and may die with it."""
        taken = self.do(self.book.ledger.claim([reference], worker="w", lease_s=LEASE_S))[reference]
        assert isinstance(taken, Claim) == self.groups.claim(reference, shut=self.actions.shut_at is not None)
        if isinstance(taken, Claim):
            self.claims.append(taken)

    @precondition(lambda self: self.claims)
    @rule(data=st.data(), end=st.sampled_from(ENDS), lost=st.booleans())
    def settle(self, data: st.DataObject, end: tuple[State, Reason | None], lost: bool) -> None:
        """A worker writes a result, perhaps late, perhaps twice because the store's answer was lost."""
        self._settle(data.draw(st.sampled_from(self.claims)), end, lost=lost)

    @rule(reference=references, end=st.sampled_from(ENDS))
    def attempt(self, reference: str, end: tuple[State, Reason | None]) -> None:
        """A worker attempts a group, and writes the result at once."""
        before = len(self.claims)
        self.claim(reference)
        if len(self.claims) > before:
            self._settle(self.claims[-1], end, lost=False)

    @rule(reference=references, reason=st.sampled_from([Reason.GONE, Reason.NOT_LOCKED]))
    def fail(self, reference: str, reason: Reason) -> None:
        """A group is received, attempted and fails: most bulk actions are for such groups."""
        self.receive(reference, "1", 0)
        self.attempt(reference, (State.FAILED, reason))

    def _settle(self, claim: Claim, end: tuple[State, Reason | None], *, lost: bool) -> None:
        state, reason = end
        called = state is not State.QUEUED
        item = Settlement(
            claim.reference, claim.lease, state, reason=reason, delay_s=20.0 if state is State.RETRYING else 0.0,
            outcome=Outcome.CLOSED if state is State.CLOSED else None,
            packed=pack_attempt(Attempt(claim.at_ms, "w", verdict=state.value)) if called else None,
            health=ApiHealth.GOOD if called else ApiHealth.UNKNOWN,
        )  # fmt: skip
        [written], _ = self.do(self.book.ledger.settle([item]))
        assert written == self.groups.settle(claim.reference, claim.lease, state, reason, called=called)
        if lost:
            self.do(self.book.ledger.settle([item], again=True))

    @rule(reference=references, closed=st.booleans())
    def ask_api(self, reference: str, closed: bool) -> None:
        """The API says whether a group is closed."""
        group = self.groups.known.get(reference)
        seen = Observation(reference, closed, group.entered if group else 0)
        self.do(self.book.ledger.reconcile([seen], audit="", others={}))
        if group and closed and group.state is not State.CLOSED:
            self.groups.close(group)
        elif group and not closed and group.state is State.CLOSED:
            self.groups.reopen(group)

    @rule(seconds=st.sampled_from([0.001, 1, 7, 20, LEASE_S, 700]))
    def forward(self, seconds: float) -> None:
        """Time passes."""
        self.book.clock.forward(seconds)

    @rule()
    def pause(self) -> None:
        """The gate is shut."""
        self.do(self.book.ledger.gate.pause(by="ann", why="test"))
        self.actions.pause()

    @rule()
    def open_gate(self) -> None:
        """The gate is opened."""
        self.do(self.book.ledger.gate.resume())
        self.actions.open()
