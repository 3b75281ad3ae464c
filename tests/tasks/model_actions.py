"""A simple model of bulk actions: what each step must come to."""

from __future__ import annotations

from collections.abc import Callable

from tasks.closure import State
from tests.tasks.model_groups import Action, Groups

CARRIED_MS, MARKED_MOST_MS = 6_000, 3_600_000


class Actions:
    """All bulk actions in their order, and the gate as far as it matters for them."""

    def __init__(self, groups: Groups, now: Callable[[], int]) -> None:
        self.groups, self.now = groups, now
        self.all: list[Action] = []
        self.shut_at: int | None = None
        self.shut_ms = 0

    def recallable(self) -> list[Action]:
        """Re-queues and discards that were not recalled."""
        return [one for one in self.all if one.verb in ("requeue", "discard") and one.state != "recalled"]

    def open_clock(self) -> int:
        """The time without that in which the gate was shut."""
        return self.now() - self.shut_ms - (0 if self.shut_at is None else self.now() - self.shut_at)

    def pause(self) -> None:
        """Shut the gate."""
        self.shut_at = self.now() if self.shut_at is None else self.shut_at

    def open(self) -> None:
        """Open the gate."""
        if self.shut_at is not None:
            self.shut_ms += self.now() - self.shut_at
        self.shut_at = None

    def end(self, action: Action, state: str) -> None:
        """It does not go on by itself."""
        action.state, action.holder = state, ""

    def recall(self, action: Action, recall_id: str) -> None:
        """What the action has changed is to be taken back, and it goes no further."""
        self.end(action, "recalled")
        self.all.append(Action(recall_id, "recall", {}, len(action.recallable), of=action))

    def carry(self, action: Action, holder: str, till: int) -> None:
        """Somebody carries it; "" for nobody."""
        action.holder, action.carried_till = holder, till

    def step(self, action: Action, holder: str, most: int) -> str:
        """Somebody does the next items. Returns what is to be told."""
        if not action.is_open:
            return action.state
        if action.holder not in ("", holder) and action.carried_till > self.now():
            return "elsewhere"
        self.carry(action, holder, self.now() + CARRIED_MS)
        if self._waits(action):
            action.state = "waiting"
        elif action.is_open:
            action.state = "running"
            self._go_on(action, most)
        return action.state

    def _waits(self, action: Action) -> bool:
        if action.verb == "requeue" and (action.rate or action.canary) and self.shut_at is not None:
            return True
        if not action.canary or action.canary_over or action.changed < action.canary:
            return False
        if action.canary_at is None:
            action.canary_at = self.open_clock()
        return self._canary_waits(action)

    def _canary_waits(self, action: Action) -> bool:
        undecided = action.became["waiting"] + action.became["retrying"]
        late = self.open_clock() - action.canary_at >= action.canary_wait_ms if action.canary_at is not None else False
        if action.fails or (undecided == 0 and action.became["closed"] == 0) or (undecided and late):
            action.canary_over = True
            self.end(action, "stopped")
        action.canary_over = action.canary_over or undecided == 0
        return not action.canary_over

    def _room(self, action: Action, most: int) -> int:
        if action.rate and action.next_at > self.now():
            return 0
        if action.rate:
            most = max(1, min(most, int(action.rate)))
        return min(most, action.canary - action.changed) if action.canary and not action.canary_over else most

    def _go_on(self, action: Action, most: int) -> None:
        now = sorted(action.left.items(), key=lambda item: (item[1], item[0]))[: self._room(action, most)]
        for reference, at in now:
            self._do(action, reference, at)
            del action.left[reference]
        if action.rate and now:
            action.next_at = self.now() + round(len(now) * 1000 / action.rate)
        dropped = bool(action.of and action.of.items)
        if action.of:
            action.of.items.clear()
        waited = self.now() - action.marked_at
        if not (action.left or dropped or (action.marked and waited < MARKED_MOST_MS)):
            self.end(action, "done")

    def _do(self, action: Action, reference: str, at: int) -> None:
        word = {"hold": self._hold, "release": self._release, "recall": self._take_back}.get(action.verb, self._change)(
            action, reference, at
        )
        if word == "marked":
            action.marked += 1
            action.marked_at = self.now()
        elif word == "done":
            action.changed += 1
        else:
            action.not_done[reference] = word

    def _hold(self, action: Action, reference: str, at: int) -> str:
        word = self.groups.hold(reference)
        return "done" if word in ("held", "pending") else word

    def _release(self, action: Action, reference: str, at: int) -> str:
        group = self.groups.known.get(reference)
        if at and (group is None or group.state is not State.HELD or group.entered != at):
            return "moved on"
        word = self.groups.release(reference)
        return word if word == "not held" else "done"

    def _change(self, action: Action, reference: str, at: int) -> str:
        group = self.groups.known.get(reference)
        if group is None:
            return "unknown"
        for older in self.all[: self.all.index(action)]:
            if older.is_open and reference in older.items:
                return "not needed" if older.verb == action.verb else f"refused: action {older.id} has it"
        if group.state is not State.FAILED or group.entered != at:
            same = group.action not in (None, action) and group.action.verb == action.verb
            return "not needed" if same else "moved on"
        reason, group.action = group.reason, None
        self.groups.move(group, State.QUEUED if action.verb == "requeue" else State.DISCARDED)
        group.action, group.was, group.asked = action, reason if action.verb == "requeue" else None, False
        action.recallable[reference] = at
        action.became["waiting" if action.verb == "requeue" else "discarded"] += 1
        return "done"

    def _take_back(self, action: Action, reference: str, at: int) -> str:
        group, of = self.groups.known.get(reference), action.of
        assert group
        assert of
        if group.state is State.CLOSED or (group.state is State.FAILED and group.action is of):
            return "called"
        if group.action is not of:
            return "moved on"
        if group.state is not State.DISCARDED and group.asked:
            return "an event came"
        if group.state is not State.DISCARDED and group.was is None:
            return "called"
        if group.state is State.CLOSING and group.looked_at <= self.now():
            self.groups.lose_lease(group)
            return "called"
        if group.state is State.CLOSING:
            group.mark = (action, at)
            return "marked"
        self.groups.give_back(group, of, at)
        return "done"
