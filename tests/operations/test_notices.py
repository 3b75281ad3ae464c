"""What has happened lately, in `closer status`; and what bulk actions tell when they end."""

from __future__ import annotations

from typing import Any

import pytest
import redis

from tasks.closure import Reason
from tasks.ledger.notices import Notice, NoticeKind
from tests.operations.conftest import Cli
from tests.operations.seed import Seed
from tests.support import key_of
from worker.operations.notice_words import words

SEEDS = [Seed(f"sg_{number}", Reason.GONE, 410, "gone", "wms") for number in range(3)]
EXAMPLES: dict[NoticeKind, dict[str, Any]] = {
    NoticeKind.GATE_SHUT: {"reason": "outage", "by": "closer", "why": "x"},
    NoticeKind.GATE_REASON_OVER: {"reason": "outage"},
    NoticeKind.GATE_OPENED: {"reason": "outage", "shut_ms": 61_000},
    NoticeKind.FAILURE: {"reason": "gone", "reference": "sg_1"},
    NoticeKind.FAILURES_GROWING: {"reason": "gone", "count": 10},
    NoticeKind.TROUBLE: {"what": "no_workers", "text": "No worker is alive."},
    NoticeKind.RECOVERED: {"what": "no_workers", "text": "No worker is alive.", "lasted_ms": 61_000},
    NoticeKind.REJECTED: {"id": "1-1", "problem": "event: this is not JSON", "waiting": 1},
    NoticeKind.REJECTED_GROWING: {"events": 1000, "waiting": 7},
    NoticeKind.KEY_SUSPENDED: {"key": "abcd", "cause": "401"},
    NoticeKind.KEY_ACCEPTED: {"key": "abcd"},
    NoticeKind.KEY_FORGOTTEN: {"key": "abcd"},
    NoticeKind.LEDGER_DAMAGED: {"agenda": 1, "index": 0, "stale": 0, "aside": 0, "unknown": 0},
    NoticeKind.LEDGER_REBUILT: {"agenda": 1, "index": 2, "stale": 0, "aside": 0, "unknown": 0},
    NoticeKind.HELD: {"by": "ann", "why": "x", "id": "1-0", "groups": 3, "reference": "sg_1"},
    NoticeKind.CANCEL_TOO_LATE: {"source": "wms", "id": "7", "groups": 2, "reference": "sg_1", "closed_at": 1},
    NoticeKind.ACTION_ENDED: {"action": "requeue", "by": "ann", "matched": 3, "changed": 2, "stopped": True},
    NoticeKind.API_MOVED: {"from": "http://a", "to": "http://b", "by": "ann", "why": "x"},
    NoticeKind.LEDGER_VERSION: {"from": 1, "to": 2},
}


def notice(kind: NoticeKind, fields: dict[str, Any]) -> Notice:
    """Such a notice."""
    return Notice("1-1", 1, kind, 1_700_000_000_000, fields)


@pytest.mark.parametrize("kind", NoticeKind)
def test_every_kind_has_words(kind: NoticeKind) -> None:
    """Each kind is told in words; where another program wrote its fields they are shown as they are."""
    told = words(notice(kind, EXAMPLES[kind]))
    assert "=" not in told
    assert "{" not in told
    if kind in (NoticeKind.GATE_SHUT, NoticeKind.ACTION_ENDED):
        assert words(notice(kind, {"odd": [1]})) == f"{kind.value} odd=[1]"
    assert words(notice(NoticeKind.GATE_OPENED, {"shut_ms": "long"})) == "gate_opened shut_ms=long"


def test_status_tells_what_happened_lately(cli: Cli, store: redis.Redis) -> None:
    """A gate that was shut and is open again is still told, to people and to programs, newest first."""
    assert cli.json("status")["notices"] == []
    cli("pause", "--why", "stocktaking", operator="ann")
    cli("resume", "--why", "done", operator="ann")
    notices = cli.json("status")["notices"]
    assert [one["kind"] for one in notices] == ["gate_opened", "gate_shut"]
    assert notices[1]["fields"] == {"reason": "paused", "by": "ann", "why": "stocktaking"}
    text = cli.text("status")
    assert "Lately" in text
    assert "the gate was shut: paused, by ann" in text
    store.xadd(key_of("notices"), {"x": "x"})
    assert len(cli.json("status")["notices"]) == 2


def test_status_without_notices(cli: Cli, store: redis.Redis) -> None:
    """Another program's key in the place of the notices does not stop the status."""
    store.set(key_of("notices"), "x")
    assert cli.json("status")["notices"] == []


@pytest.mark.parametrize("verb", ["requeue", "discard"])
def test_a_bulk_action_tells_its_end(cli: Cli, store: redis.Redis, verb: str) -> None:
    """The notice says what the action has changed, by whom and why; an action that matches nothing has none."""
    cli.sow(SEEDS)
    cli(verb, "--reason", "gone", "--why", "because", "--yes", operator="ann")
    cli(verb, "--reason", "gone", "--why", "because", "--yes", operator="ann")
    [ended] = [one["fields"] for one in cli.json("status")["notices"] if one["kind"] == "action_ended"]
    assert ended.pop("id")
    assert len(ended.pop("action_id")) == 9
    assert ended == {
        "action": verb, "by": "ann", "why": "because", "matched": 3, "changed": 3, "stopped": False
    }  # fmt: skip


def test_an_end_that_cannot_be_told(cli: Cli, store: redis.Redis) -> None:
    """An action whose end cannot be told is done all the same."""
    cli.sow(SEEDS)
    store.set(key_of("notices"), "x")
    assert cli("requeue", "--reason", "gone", "--yes", "--why", "x", operator="ann").returncode == 0


@pytest.mark.parametrize(
    ("command", "action"),
    [(("replay", "{id}"), "replay"), (("discard", "{id}"), "discard rejected")],
    ids=["replay", "discard"],
)
def test_an_action_on_rejected_events_tells_its_end(
    cli: Cli, store: redis.Redis, command: tuple[str, ...], action: str
) -> None:
    """So do replaying and discarding rejected events, with what they came to."""
    store.xadd(key_of("rejected"), {"event": '{"reference": "sg_1"}', "problems": "[]"}, id="1-1")
    cli("rejected", *(word.format(id="1-1") for word in command), "--why", "because", operator="ann")
    [ended] = [one["fields"] for one in cli.json("status")["notices"] if one["kind"] == "action_ended"]
    assert ended.pop("id")
    assert bool(ended.pop("action_id", "")) is (action == "replay")
    assert ended == {
        "action": action, "by": "ann", "why": "because", "matched": 1, "changed": 1, "stopped": False
    }  # fmt: skip
