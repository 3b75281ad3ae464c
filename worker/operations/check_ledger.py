"""Checks the ledger in the store: whether it is for our API, and what waits in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

from tasks.errors import ForeignApi, LedgerBroken
from tasks.events.event_type import EventTypes
from tasks.history import iso
from tasks.ledger.fleets import remedy, shared_stream
from tasks.ledger.gate import Gate
from tasks.ledger.heartbeat import Heartbeat
from tasks.ledger.old_prefix import OldState
from tasks.ledger.policy import FleetPolicy
from tasks.ledger.summary import Summary
from worker.operations.advice import gate_advice
from worker.operations.context import OperatorContext, StoreAway, open_context
from worker.operations.event_types import Waiting, uncounted, waiting
from worker.operations.finding import Finding, Line
from worker.operations.ledger_keys import foreign_keys
from worker.operations.operator import Operator, Verb
from worker.operations.policy import refuse_other_api
from worker.operations.step import Step
from worker.operations.stream_groups import Behind, behind
from worker.settings import Settings

_TYPES_SHOWN = 5
_TOLD = ("throttled", "paused")  # in lines of their own
_SEEN_MS = 20_000  # a worker without a sign of life for so long is not alive


async def ledger(operator: Operator, settings: Settings) -> AsyncIterator[Line]:
    """Yield the lines about the ledger in the store, which has been reached.

    They tell whether the ledger is for our API and its keys are sound, what waits there, and what else uses them.
    """
    keys: list[Line] = []
    try:
        async with open_context(operator, settings) as context:
            keys = [
                Line("ledger", Finding.WRONG, f"{one.key} is a {one.kind}; closer needs a {one.needed}", one.remedy)
                for one in await foreign_keys(context)
            ]
            for line in keys:
                yield line
            summary = await context.ledger.catalogue.summary(await context.stream())
            types = await context.types()
            try:
                await refuse_other_api(context)
            except ForeignApi as error:
                yield _foreign(error)
            groups = _shut(await context.ledger.gate.look())
            groups += _differing(summary, await context.ledger.policy.read())
            groups += [_behind(one) for one in await behind(context)]
            groups += await _others(context)
    except LedgerBroken as error:
        if not keys:  # otherwise the key that causes it has been named
            yield Line("ledger", Finding.WRONG, str(error))
        return
    except StoreAway as error:
        what, _, remedy = error.problem.partition("; ")
        yield Line("store", Finding.WRONG, f"{settings.public_store_address}: {what}", remedy or "check again")
        return
    for line in [*events(summary, types), *groups]:
        yield line


def _shut(gate: Gate) -> list[Line]:
    """Return the lines about a gate that is shut, so that no worker calls now. What throttles is told with the API."""
    reasons = [standing.reason for standing in gate.standing if standing.reason not in _TOLD]
    if not reasons:
        return _paused(gate)
    message = f"the gate is shut ({', '.join(reasons)}): nothing is closed until it opens"
    return [*_paused(gate), Line("gate", Finding.WARNING, message, "see why, and what opens it", Step(Verb.STATUS))]


def _paused(gate: Gate) -> list[Line]:
    """Return the line that says that operators have paused the fleet. The check itself asks all the same."""
    standing = gate.get("paused")
    if standing is None:
        return []
    why = f" ({standing.why})" if standing.why else ""
    message = (
        f"the fleet is paused by {standing.by} since {iso(standing.since_ms)}{why}: no group is closed. Only this "
        "check asks the API, for a group that cannot exist"
    )
    advice = gate_advice(standing)
    return [Line("gate", Finding.WARNING, message, advice.remedy.rstrip("."), advice.first)]


def _foreign(error: ForeignApi) -> Line:
    remedy = (
        f"set CLOSER_API_BASE_URL={error.ledgers}, or give {error.ours} a store of its own; "
        "if the API itself has moved, stop all workers, then"
    )
    return Line("ledger", Finding.WRONG, str(error), remedy, Step(Verb.MOVE_API))


def events(summary: Summary, types: EventTypes) -> list[Line]:
    """Return the lines about the types of events: those that came within a day, and those whose events wait."""
    waits = waiting(summary, types)
    lines = [_seen(sorted(summary.seen_types), types)] if summary.seen_types else []
    lines += [_waits(one) for one in waits[:_TYPES_SHOWN]]
    if more := sum(one.events for one in waits[_TYPES_SHOWN:]) + uncounted(summary):
        message = f"{more} events of further types are put aside, and not closed"
        lines.append(Line("events", Finding.WARNING, message, "look at them", Step(Verb.REJECTED)))
    return lines


def _seen(names: list[str], types: EventTypes) -> Line:
    words = [f"{name} ({_taken(name, types)})" for name in names]
    return Line("events", Finding.OK, f"types that came within a day: {', '.join(words)}")


def _taken(name: str, types: EventTypes) -> str:
    return "cancels" if types.cancels(name) else "accepted" if types.accept(name) else "not accepted"


def _waits(waits: Waiting) -> Line:
    events, are = ("event", "is") if waits.events == 1 else ("events", "are")
    message = f"{waits.events} {events} of type {waits.type} {are} put aside, and not closed"
    if waits.cancels:
        return Line("events", Finding.WARNING, message, "the type cancels by now: have their groups held", waits.step)
    if waits.setting is None:
        return Line("events", Finding.WARNING, message, "the type is accepted by now: have them closed", waits.step)
    first = f"if it means complete, set {waits.setting} for the workers (the list must name every type that does)"
    return Line("events", Finding.WARNING, message, f"{first}; then have them closed", waits.step)


async def _others(context: OperatorContext) -> list[Line]:
    """Return the lines about other fleets on our stream, and about the ledger of an older release."""
    stream = await context.stream()
    lines = [
        Line("fleet", Finding.WRONG, shared_stream(stream, group), remedy(stream, group))
        for group in await context.ledger.other_fleets(stream)
    ]
    older = await context.ledger.older()
    if not older.nothing:
        waits = older.state is OldState.WAITS and not older.alive
        lines.append(Line("ledger", Finding.WARNING if waits else Finding.WRONG, older.problem, older.remedy))
    return lines


def _behind(group: Behind) -> Line:
    message = (
        f"the consumer group {group.group} on {group.stream} has not read {group.events} events, the oldest for "
        f"{group.oldest_s:.0f} s; they stay in the store's memory until it has"
    )
    return Line("events", Finding.WARNING, message, group.remedy)


def _differing(summary: Summary, policy: FleetPolicy | None) -> list[Line]:
    """Return a line for each living worker whose settings differ from those of the one that started last."""
    lines = []
    for sign in summary.workers:
        if policy is None or not isinstance(sign, Heartbeat) or abs(summary.now_ms - sign.at_ms) > _SEEN_MS:
            continue
        if names := policy.differs(sign.said.get("policy")):
            message = f"worker {sign.name} is set otherwise than the one that started last: {', '.join(names)}"
            remedy = "the settings of the one that started last count; set all workers alike, and start them again"
            lines.append(Line("fleet", Finding.WARNING, message, remedy))
    return lines
