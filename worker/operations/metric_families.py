"""Makes the metrics of a snapshot. Every label has a fixed set of values, and each is there from the start."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import get_args

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from tasks.closure import Outcome, Reason
from tasks.ledger.gate import REASONS, Gate
from tasks.ledger.tally import Intake, Tally
from tasks.ledger.values import Received
from tasks.verdict import Verdict
from worker.operations.operator import PERMISSIONS
from worker.operations.snapshot import Life, Snapshot

Families = list[Metric]
LOST = "lost"  # what the ledger notes for an attempt whose lease ended without a result
VERDICTS = (*(kind.__name__.lower() for kind in get_args(Verdict)), LOST)
OUTCOMES = (*(word.value for word in Received if not word.problem), "rejected")
DELIVERIES = ("delivered", "failed", "expired")


def families_of_the_store(*, up: bool, age_s: float | None) -> Families:
    """Return the metrics that are known while the store is away. `age_s`: of the last snapshot (s), if any."""
    info = GaugeMetricFamily("closer_build_info", "Always 1.", labels=["version"])
    info.add_metric([version("closer")], 1)
    return [
        info,
        _gauge("closer_store_up", "Whether the store answers.", up),
        _gauge("closer_snapshot_age_seconds", "How old all these numbers are.", age_s),
    ]


def families(snapshot: Snapshot) -> Families:
    """Return all metrics of a snapshot."""
    return [
        *_closures(snapshot),
        *_ages(snapshot),
        *_gate(snapshot.summary.gate),
        *_others(snapshot),
        *_counters(snapshot),
    ]


def _closures(snapshot: Snapshot) -> Families:
    summary, measured = snapshot.summary, snapshot.measured
    states = {state.value: count for state, count in summary.states.items()}
    failed = {reason.value: summary.failed.get(reason, 0) for reason in Reason}
    due = measured.due if summary.gate.open else 0
    return [
        _gauges("closer_closures", "Closures by state.", "state", states),
        _gauges("closer_failed_closures", "Failed closures by reason.", "reason", failed),
        _gauge("closer_held_over_a_day", "Groups that have been held for more than a day.", summary.held_long),
        _gauge("closer_due_now", "Closures that are due while calls are made; 0 while the gate is shut.", due),
        _gauge("closer_overdue_seconds", "How long the first one that is due has waited.", measured.overdue_s),
        _gauge(
            "closer_closures_near_deadline", "Of the 50 oldest, those that have a tenth of their time left.",
            measured.near_deadline,
        ),
    ]  # fmt: skip


def _ages(snapshot: Snapshot) -> Families:
    summary, measured = snapshot.summary, snapshot.measured
    oldest = summary.oldest_open_ms
    age_s = 0.0 if oldest is None else max(0.0, (summary.now_ms - oldest) / 1000)
    deadline_s = snapshot.policy.deadline_s if snapshot.policy else None
    return [
        _gauge("closer_oldest_open_age_seconds", "How long ago the oldest unfinished closure's event came.", age_s),
        _gauge(
            "closer_oldest_open_clock_age_seconds", "The same, without the time in which the gate was shut.",
            measured.clock_age_s or 0.0,
        ),
        _gauge("closer_deadline_seconds", "For how long a group is tried.", deadline_s),
        _gauge("closer_last_event_timestamp_seconds", "When the last event came; 0: none.", _s(measured.last_event_ms)),
        _gauge("closer_last_close_timestamp_seconds", "When a group was closed; 0: none.", _s(measured.last_close_ms)),
    ]  # fmt: skip


def _gate(gate: Gate) -> Families:
    standing = {reason: float(gate.get(reason) is not None) for reason in REASONS}
    since_ms = min((one.since_ms for one in gate.standing), default=None)
    return [
        _gauge("closer_gate_open", "Whether calls are made.", gate.open),
        _gauges("closer_gate_shut", "Whether this reason keeps the gate shut.", "reason", standing),
        _gauge("closer_gate_since_timestamp_seconds", "Since when the gate is shut; 0: it is open.", _s(since_ms)),
        _gauge("closer_keys_refused", "Keys that the API refuses.", len(gate.suspended)),
    ]


def _others(snapshot: Snapshot) -> Families:
    summary, measured = snapshot.summary, snapshot.measured
    backlog = {Intake.STREAM.value: summary.backlog}
    workers = {life.value: snapshot.workers[life] for life in Life}
    return [
        _gauges("closer_intake_backlog", "Events that are not taken in yet.", "intake", backlog),
        _gauge("closer_intake_oldest_age_seconds", "How long the first of them has waited.", measured.intake_oldest_s),
        _gauge("closer_rejected_events", "Rejected events that wait for a person.", summary.rejected),
        _gauges("closer_workers", "Workers of the last hour.", "state", workers),
        _gauge("closer_store_safe", "Whether the store keeps what it has confirmed.", snapshot.safe),
    ]


def _counters(snapshot: Snapshot) -> Families:
    tally = snapshot.measured.tally
    events = CounterMetricFamily("closer_events", "Events by what became of them.", labels=["intake", "outcome"])
    for intake in Intake:
        for outcome in OUTCOMES:
            events.add_metric([intake.value, outcome.replace(" ", "_")], tally.of("events", intake.value, outcome))
    verbs = [verb.value for verb, permission in PERMISSIONS.items() if permission.changes]
    return [
        events,
        _counter("closer_attempts", "Attempts by verdict.", "verdict", tally, "attempts", VERDICTS),
        _counter("closer_closed", "Groups that were closed.", "outcome", tally, "closed", Outcome),
        _counter("closer_failures", "Closures that failed.", "reason", tally, "failures", Reason),
        CounterMetricFamily(
            "closer_lost_leases", "Leases that ended without a result.", value=tally.of("attempts", LOST)
        ),
        _counter("closer_operator_actions", "Actions of operators.", "verb", tally, "actions", verbs),
        _counter("closer_gate_shut", "How often a reason shut the gate.", "reason", tally, "gate_shut", REASONS),
        _counter("closer_alert_deliveries", "Alerts that were sent.", "outcome", tally, "alerts", DELIVERIES),
    ]


def _gauge(name: str, words: str, value: float | None) -> Metric:
    """Return a metric; NaN where its value is not known, because unknown is not 0."""
    return GaugeMetricFamily(name, words, value=math.nan if value is None else float(value))


def _gauges(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family


def _counter(name: str, words: str, label: str, tally: Tally, kind: str, values: Iterable[str]) -> Metric:
    family = CounterMetricFamily(name, words, labels=[label])
    for value in values:
        family.add_metric([value.replace(" ", "_")], tally.of(kind, value))
    return family


def _s(at_ms: int | None) -> float:
    return (at_ms or 0) / 1000
