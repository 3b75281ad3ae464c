"""Holds at random moments while two workers close groups: how fast they are answered, and how many come in time."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import SecretStr

from bench.groups import references
from bench.lab import Lab, publish, until
from bench.options import Options
from bench.report import Section, percentile
from tests.support import key_of
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext, open_context
from worker.operations.frozen import freeze
from worker.operations.hold import follow, hold
from worker.operations.operator import Operator, Role, Verb
from worker.operations.selection import Selection
from worker.settings import Settings

_GROUPS, _HOLDS, _FLIGHT, _LATENCY_S = 1000, 600, 10, 0.15
_WITHIN_S = 1.0
_ANNA = Operator("anna", Role.OPERATOR, "bench")


@dataclass(frozen=True, slots=True)
class Held:
    """One hold. `waiting`: no attempt was under way. `took_s`: until it was answered. `at`: when (monotonic s)."""

    reference: str
    waiting: bool
    held: bool
    took_s: float
    at: float


def measure(lab: Lab, options: Options) -> Iterator[Section]:
    """1,000 groups, and 600 holds over the first two thirds of the time that closing them all takes."""
    lab.clear(_GROUPS, _LATENCY_S)
    names = list(references(_GROUPS))
    publish(lab.store, iter(names))
    with lab.closer(_FLIGHT), lab.closer(_FLIGHT):
        holds = asyncio.run(_hold_some(lab, random.Random(3).sample(names, _HOLDS)))
        held = {one.reference: one.at for one in holds if one.held}
        until(lambda: lab.store.zcard(key_of("closed")) == _GROUPS - len(held), "the other groups closed")
    late = [close for close in lab.api.report().closes if held.get(close.reference, close.arrived) < close.arrived]
    yield _section(holds, len(late))


async def _hold_some(lab: Lab, chosen: list[str]) -> list[Held]:
    dice = random.Random(7)
    mean_s = _GROUPS * _LATENCY_S / (2 * _FLIGHT) * 2 / 3 / len(chosen)
    settings = Settings(redis_url=SecretStr(lab.store_url), api_base_url=lab.api.url, api_key=SecretStr("a-key"))
    async with open_context(_ANNA, settings) as context, asyncio.TaskGroup() as tasks:
        due, started = time.monotonic(), []
        for reference in chosen:
            due += dice.expovariate(1 / mean_s)
            await asyncio.sleep(due - time.monotonic())
            started.append(tasks.create_task(_hold(context, reference)))
    return [one.result() for one in started]


async def _hold(context: OperatorContext, reference: str) -> Held:
    begun = time.monotonic()
    frozen = await freeze(context, Verb.HOLD, Selection((reference,)), "bench")
    result = await hold(context, frozen, BulkOptions("bench"))
    waiting = bool(result.held)
    await follow(context, result, asyncio.Event())
    at = time.monotonic()
    return Held(reference, waiting, bool(result.held), at - begun, at)


def _section(holds: list[Held], late: int) -> Section:
    kinds = {
        "the group waited": [one for one in holds if one.waiting],
        "an attempt was under way, and then held": [one for one in holds if one.held and not one.waiting],
        "too late: closed": [one for one in holds if not one.held],
    }
    return Section(
        f"Holds at random moments: {len(holds)} of {_GROUPS:,} groups, {_LATENCY_S * 1000:g} ms",
        [
            f"Two workers, {_FLIGHT} in flight each. The time is from the operation's beginning to its answer.",
            f"Calls that came after the answer `held`: {late}.",
        ],
        ["", "holds", f"in {_WITHIN_S:g} s", "p50 ms", "p95 ms", "max ms"],
        [_row(name, [one.took_s for one in some]) for name, some in kinds.items() if some],
    )


def _row(name: str, took_s: list[float]) -> list[str]:
    share = sum(one <= _WITHIN_S for one in took_s) / len(took_s)
    times = [f"{percentile(took_s, of) * 1000:.0f}" for of in (0.5, 0.95, 1.0)]
    return [name, str(len(took_s)), f"{share:.1%}", *times]
