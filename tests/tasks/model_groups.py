"""A simple model of groups: what events, holds, attempts and time must come to. It does not say how it is stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tasks.closure import Reason, State

LEASE_MS, RETRY_MS = 60_000, 20_000
ENDED = (State.CLOSED, State.DISCARDED)
UNFINISHED = (State.QUEUED, State.CLOSING, State.RETRYING)


@dataclass(eq=False)
class Action:
    """A bulk action or a recall (`of` another). `items`: what is left, by when it had entered its state (ms)."""

    id: str
    verb: str
    items: dict[str, int]
    matched: int
    canary: int = 0
    canary_wait_ms: int = 0
    rate: float = 0.0
    of: Action | None = None
    state: str = "running"
    holder: str = ""
    carried_till: int = 0
    next_at: int = 0
    canary_at: int | None = None
    canary_over: bool = False
    changed: int = 0
    recallable: dict[str, int] = field(default_factory=dict)
    not_done: dict[str, str] = field(default_factory=dict)
    became: Counter[str] = field(default_factory=Counter)
    fails: int = 0
    recalled: int = 0
    marked: int = 0
    marked_at: int = 0

    @property
    def is_open(self) -> bool:
        """Whether it goes on by itself."""
        return self.state in ("running", "waiting")

    @property
    def left(self) -> dict[str, int]:
        """What it has not come to yet."""
        return self.of.recallable if self.of else self.items


@dataclass(eq=False)
class Group:
    """A group that somebody has named. `origin`: the state that a held one was taken from, "none" without an event.

    `was`: why it had failed, while its action can be recalled. `asked`: an event has come since. `mark`: the recall
    that takes it back if its attempt ends without a call, and its place in time. `first`: the event that it was made
    for; of a closed one no other is remembered.
    """

    reference: str
    state: State
    entered: int
    reason: Reason | None = None
    lease: int = 0
    looked_at: int = 0
    before: int = 0
    held: bool = False
    origin: str = ""
    failed_at: int = 0
    action: Action | None = None
    was: Reason | None = None
    asked: bool = False
    mark: tuple[Action, int] | None = None
    first: str = ""
    events: set[str] = field(default_factory=set)


def bucket(state: State) -> str:
    """The name under which an action counts its items in this state."""
    return "waiting" if state in (State.QUEUED, State.CLOSING) else state.value


class Groups:
    """All groups, and what is done to one of them. `now`: the time in ms."""

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.known: dict[str, Group] = {}

    def move(self, group: Group, state: State, at: int | None = None) -> None:
        """The group enters a state, and its action counts that."""
        action, before, after = group.action, bucket(group.state), bucket(state)
        if action and before != after:
            action.became[before] -= 1
            action.became[after] += 1
            action.fails += after == "failed"
        group.state, group.entered = state, self.now() if at is None else at
        if state in (State.QUEUED, State.CLOSED):
            group.reason = None

    def keep_held(self, group: Group) -> None:
        """A hold takes effect, unless an attempt is under way."""
        if not group.held or group.state in (State.CLOSED, State.CLOSING, State.HELD):
            return
        failed = group.state is State.FAILED
        group.origin, group.failed_at = ("failed", group.entered) if failed else ("queued", 0)
        self.move(group, State.HELD)

    def _unmark(self, group: Group, why: str) -> None:
        if group.mark:
            recall, _ = group.mark
            recall.marked -= 1
            recall.not_done[group.reference] = why
            group.mark = None

    def called(self, group: Group) -> None:
        """It was called, or may have been."""
        group.was, group.asked = None, False
        self._unmark(group, "called")

    def lose_lease(self, group: Group) -> None:
        """Its lease has ended without a word."""
        self.called(group)
        self.move(group, State.QUEUED)
        self.keep_held(group)

    def receive(self, reference: str, event_id: str, before: int) -> None:
        """An event comes, with the time before which the group must not be closed."""
        group = self.known.get(reference)
        if group is None:
            self.known[reference] = Group(
                reference, State.QUEUED, self.now(), before=before, first=event_id, events={event_id}
            )
            return
        if group.state in ENDED or event_id in group.events:
            return
        if group.origin == "none" and group.state is State.HELD:
            group.first = event_id
        group.events.add(event_id)
        group.asked = group.was is not None
        self._unmark(group, "an event came")
        if max(before, self.now()) > max(group.before, self.now()):
            group.before = before
            if group.state in (State.QUEUED, State.RETRYING):
                self.move(group, State.QUEUED)
        if group.state is State.HELD:
            group.origin, group.reason = "queued", None
        elif group.state is State.FAILED:
            self.move(group, State.QUEUED)

    def hold(self, reference: str) -> str:
        """An operator holds a group. Returns what is to be told."""
        group = self.known.get(reference)
        if group is None:
            self.known[reference] = Group(reference, State.HELD, self.now(), held=True, origin="none")
            return "held"
        if group.state in ENDED:
            return group.state.value
        before, group.held = group.held, True
        if group.state is State.CLOSING and group.looked_at <= self.now():
            self.lose_lease(group)
        self.keep_held(group)
        return "already" if before else "pending" if group.state is State.CLOSING else "held"

    def release(self, reference: str) -> str:
        """An operator releases a group. Returns what is to be told."""
        group = self.known.get(reference)
        if group is None or not group.held:
            return "not held"
        group.held = False
        if group.state is State.HELD and group.origin == "none":
            del self.known[reference]
            return "forgotten"
        if group.state is State.HELD and group.origin == "failed":
            self.move(group, State.FAILED, group.failed_at)
        elif group.state is State.HELD:
            self.move(group, State.QUEUED)
        return "released"

    def claim(self, reference: str, *, shut: bool) -> bool:
        """A worker asks for a group. Returns whether it may be called."""
        group = self.known.get(reference)
        if group is None or (group.state is State.HELD and group.origin == "none"):
            return False
        if group.state is State.CLOSING and group.looked_at <= self.now():
            self.lose_lease(group)
        is_due = group.state is State.QUEUED or (group.state is State.RETRYING and group.looked_at <= self.now())
        if group.held or group.before > self.now() or not is_due or shut:
            return False
        self.move(group, State.CLOSING)
        group.lease, group.looked_at = group.lease + 1, self.now() + LEASE_MS
        return True

    def settle(self, reference: str, lease: int, state: State, reason: Reason | None, *, called: bool) -> bool:
        """An attempt ends. Returns whether that counts. `called`: whether the API was called."""
        group = self.known.get(reference)
        mine = group is not None and group.state is State.CLOSING and group.lease == lease
        fact = group is not None and state is State.CLOSED and group.state is not State.CLOSED
        if group is None or not (mine or fact):
            return False
        if called:
            self.called(group)
        if state is State.CLOSED:
            self.close(group)
        elif state is State.QUEUED and group.mark:
            self._return(group)
        else:
            group.reason = reason
            self.move(group, state)
            group.looked_at = max(self.now() + RETRY_MS, group.before)
        self.keep_held(group)
        return True

    def close(self, group: Group) -> None:
        """Its group is closed."""
        self.called(group)
        self.move(group, State.CLOSED)
        group.held, group.action, group.before = False, None, 0
        group.events &= {group.first}
        group.lease = 0

    def reopen(self, group: Group) -> None:
        """The API denies that the group is closed."""
        group.reason = Reason.REOPENED
        self.move(group, State.FAILED)

    def give_back(self, group: Group, action: Action, at: int) -> None:
        """A recall gives a group the failure back that it had."""
        action.became[bucket(group.state)] -= 1
        action.recalled += 1
        group.reason, group.action, group.was = group.was or group.reason, None, None
        if group.state is State.HELD:
            group.origin, group.failed_at = "failed", at
        else:
            self.move(group, State.FAILED, at)

    def _return(self, group: Group) -> None:
        assert group.mark
        assert group.action
        (recall, at), group.mark = group.mark, None
        self.give_back(group, group.action, at)
        recall.marked -= 1
        recall.changed += 1
