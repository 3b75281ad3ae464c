"""Thousands of failed closures of three causes: an operator looks, tries a canary, re-queues, and recalls half-way."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.closure import Closure, Reason, State
from tests.end_to_end.fleet import SETTINGS, closures, own_store
from tests.end_to_end.test_bulk_actions import Fleet
from tests.operations.seed import Seed, sow
from tests.support import count, key_of, run, until
from worker.simulator.script import Answer, Call, Own
from worker.simulator.server import Simulator, run_in_thread

CAUSES = ((Reason.NOT_LOCKED, 409), (Reason.FORBIDDEN, 403), (Reason.GONE, 410))
SEEDS = [Seed(f"sg_{number:05}", *CAUSES[number % 3]) for number in range(2000)]
GROUPS = [seed.reference for seed in SEEDS]
REQUEUE = ("requeue", "--state", "failed", "--canary", "20", "--why", "account fixed")


@pytest.mark.long
def test_an_operator_re_queues_and_recalls(tmp_path: Path) -> None:
    """Three lines with counts, one opened, a dry run, a re-queue that is recalled half-way, and one watched to its end.

    What was recalled is as it was before, and each group is called once.
    """
    calls = Counter[str]()

    async def note(call: Call, own: Own) -> Answer:
        if call.endpoint == "close":
            calls[call.reference] += 1
        return await own()

    with own_store(tmp_path / "store") as (url, store), run_in_thread(Simulator(script=note)) as (api, _):
        sow(url, SEEDS)
        before = closures(url, GROUPS)
        settings: dict[str, Any] = {**SETTINGS, "redis_url": url, "api_base_url": api, "operator": "olga"}
        assert _looked_at(settings) == {reason: len(SEEDS[place::3]) for place, (reason, _) in enumerate(CAUSES)}
        fleet = Fleet(tmp_path, url, store, api)
        with fleet.start():
            _recall_half_way(fleet, store)
            _assert_as_before(before, closures(url, GROUPS), calls)
            [told] = fleet.json(*REQUEUE)
            assert told["skipped"] == {}
            until(lambda: count(store, "closed") == len(GROUPS), "all are closed")
        assert calls == Counter(GROUPS)


def _looked_at(settings: dict[str, Any]) -> dict[str, int]:
    """How many failed for each cause, a line each; one is opened, and a dry run changes nothing."""
    lines = run("list", "--state", "failed", "--group-by", "reason", "--json", **settings).stdout.splitlines()
    assert "What is next" in run("show", GROUPS[0], **settings).stdout
    dry = json.loads(run(*REQUEUE[:3], "--dry-run", "--json", **settings).stdout)
    assert (dry["matched"], dry["dry_run"]) == (len(GROUPS), True)
    return {line["reason"]: line["count"] for line in map(json.loads, lines)}


def _recall_half_way(fleet: Fleet, store: redis.Redis) -> None:
    """The command that carries the re-queue is told of the recall, and ends; each item is in one count."""
    with fleet.start(*REQUEUE, "--rate", "150/s") as command:
        until(lambda: count(store, "failed") <= len(GROUPS) * 3 / 4, "a part of them")
        actions: Any = store.zrange(key_of("actions"), 0, -1)
        requeue = actions[0].decode()
        [recalled] = fleet.json("actions", "recall", requeue, "--why", "wrong filter")
        assert command.process.wait(30) == 1
        assert "recalled by somebody else" in command.output
    assert recalled["matched"] == recalled["recalled"] + sum(recalled["skipped"].values())
    [action] = [one for one in fleet.json("actions", "list") if one["id"] == requeue]
    until(lambda: not store.zcard(key_of("agenda")), "what was called has ended")
    assert (action["state"], action["changed"]) == ("recalled", recalled["matched"])


def _assert_as_before(before: dict[str, Closure], after: dict[str, Closure], calls: Counter[str]) -> None:
    """Each group was called and is closed, or has its failure back, at its place in time."""
    for reference, closure in after.items():
        if closure.state is not State.CLOSED:
            was = before[reference]
            assert (closure.state, closure.reason, closure.entered_ms) == (State.FAILED, was.reason, was.entered_ms)
    assert set(calls) == {ref for ref, closure in after.items() if closure.state is State.CLOSED}
    assert 0 < len(calls) < len(GROUPS)
