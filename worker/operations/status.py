"""Sums up everything for `closer status`: the gate, closures, failures, events and workers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.history import iso
from tasks.ledger.gate import Gate, SuspendedKey
from tasks.ledger.heartbeat import Heartbeat
from tasks.ledger.measures import Measured
from tasks.ledger.notices import Notice
from tasks.ledger.old_prefix import OldLook
from tasks.ledger.policy import FleetPolicy
from tasks.ledger.summary import Summary
from tasks.ledger.values import Unreadable
from worker.operations.context import OperatorContext
from worker.operations.event_types import Waiting, waiting
from worker.operations.headline import Facts, Headline, headline
from worker.operations.operator import Verb
from worker.operations.snapshot import FORGOTTEN_S, SILENT_S, age_s, take

_LATELY, _LATELY_MS = 5, 86_400_000


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker that gave a sign of life within the last hour. `age_s`: how long ago that was (s)."""

    sign: Heartbeat
    age_s: float

    @property
    def alive(self) -> bool:
        """Whether its last sign of life is at most 20 s old."""
        return self.age_s <= SILENT_S

    def as_json(self) -> dict[str, Any]:
        """Return what the worker says of itself, and how long ago it said so."""
        return {"name": self.sign.name, "age_s": self.age_s, "seen_at": iso(self.sign.at_ms)} | dict(self.sign.said)


@dataclass(frozen=True, slots=True)
class Status:
    """Everything that an operator sees first.

    `measured`: what is due and old, and the counts. `workers`: those of the last hour, by name. `unreadable_workers`:
    the names of those whose sign of life cannot be read. `waiting`: the types of rejected events. `policy`: None before
    any worker has started. `workers_key`: the store's key that holds the signs of life. `lately`: the last notices,
    newest first.
    """

    summary: Summary
    measured: Measured
    workers: list[Worker]
    unreadable_workers: list[str]
    waiting: list[Waiting]
    policy: FleetPolicy | None
    workers_key: str
    lately: list[Notice]
    older: OldLook | None

    @property
    def headline(self) -> Headline:
        """The one sentence that says whether all is well."""
        alive = sum(1 for worker in self.workers if worker.alive)
        return headline(Facts(self.summary, self.measured, alive, self.older))

    @property
    def gate(self) -> Gate:
        """Whether calls are made, and why not."""
        return self.summary.gate

    def workers_with(self, key: SuspendedKey) -> list[str]:
        """Return the names of the workers that are alive and have this API key."""
        return [worker.sign.name for worker in self.workers if worker.alive and worker.sign.said.get("key") == key.key]

    def differs(self, worker: Worker) -> list[str]:
        """Return the settings in which a living worker differs from the fleet's policy."""
        return self.policy.differs(worker.sign.said.get("policy")) if self.policy and worker.alive else []

    @property
    def oldest_open_age_s(self) -> float | None:
        """How long the oldest unfinished closure has waited (s), None if there is none."""
        oldest = self.summary.oldest_open_ms
        return None if oldest is None else max(0.0, (self.summary.now_ms - oldest) / 1000)

    def as_json(self) -> dict[str, Any]:
        """Return the status as other programs see it. The names of the fields are a promise."""
        summary, measured = self.summary, self.measured
        rates = {f"{name}_last_hour": number for name, number in asdict(measured.last_hour).items()}
        return {
            "at": iso(summary.now_ms),
            "headline": self.headline.as_json(),
            "closures": {state.value: count for state, count in summary.states.items()},
            "failed": {reason.value: count for reason, count in summary.failed.items()},
            "oldest_open_age_s": self.oldest_open_age_s,
            "rate": {"last_minute": summary.closed_last_minute, "last_hour": summary.closed_last_hour} | rates,
            "waiting": summary.waiting,
            "held_over_a_day": summary.held_long,
            "due": measured.due,
            "overdue_s": measured.overdue_s,
            "oldest_open_clock_age_s": measured.clock_age_s,
            "near_deadline": measured.near_deadline,
            "held_by_events": summary.cancelled,
            "cancelled_too_late": summary.late,
            "cancelled_too_late_last": {ref: iso(at_ms) for ref, at_ms in summary.late_groups.items()},
            "backlog": summary.backlog,
            "rejected": summary.rejected,
            "waiting_types": {waits.type: waits.events for waits in self.waiting},
            "workers": [worker.as_json() for worker in self.workers if worker.alive],
            "silent_workers": [worker.as_json() for worker in self.workers if not worker.alive],
            "unreadable_workers": self.unreadable_workers,
            "differing_workers": {
                worker.sign.name: names for worker in self.workers if (names := self.differs(worker))
            },
            "older_release": self.older and self.older.as_json(),
            "notices": [one.as_json() for one in self.lately],
            "gate": self.gate.as_json(),
            "suspended_keys": [key.as_json(self.workers_with(key)) for key in self.gate.suspended],
        }


async def status(context: OperatorContext) -> Status:
    """Count everything, and change nothing. Raises Refused and StoreUnavailable."""
    context.guard(Verb.STATUS)
    snapshot = await take(context)
    summary, policy = snapshot.summary, snapshot.policy
    signs = sorted(summary.workers, key=lambda sign: sign.name)
    workers = [Worker(sign, age_s(summary.now_ms, sign)) for sign in signs if isinstance(sign, Heartbeat)]
    unreadable = [sign.name for sign in signs if isinstance(sign, Unreadable)]
    recent = [worker for worker in workers if worker.age_s < FORGOTTEN_S]
    types = policy.types if policy else context.settings.accepted_types
    lately = await _lately(context, summary.now_ms)
    waits, older = waiting(summary, types), await _older(context)
    return Status(summary, snapshot.measured, recent, unreadable, waits, policy, context.key("workers"), lately, older)


async def _older(context: OperatorContext) -> OldLook | None:
    """Return what an older release does or has left in the store; None if this user may not look there."""
    with suppress(StoreUnavailable, LedgerBroken):
        return await context.ledger.older()
    return None


async def _lately(context: OperatorContext, now_ms: int) -> list[Notice]:
    """Return the last five notices of the last 24 hours, newest first; none if another program has taken their key."""
    with suppress(LedgerBroken):  # `closer check` names the key
        notices = await context.ledger.notices.latest(_LATELY)
        return [one for one in notices if isinstance(one, Notice) and abs(now_ms - one.at_ms) < _LATELY_MS]
    return []
