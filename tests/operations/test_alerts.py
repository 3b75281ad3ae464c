"""Which notices become alerts, and the drill, through the real console script."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tasks.ledger.notices import Notice, NoticeKind
from tests.operations.conftest import Cli
from tests.receiver import Receiver, receiver
from tests.support import free_port
from worker.operations.alerts import Status, alert_of, drills

NOW_MS = 1_700_000_000_000
SILENT = {NoticeKind.ACTION_ENDED, NoticeKind.API_MOVED, NoticeKind.LEDGER_VERSION}


@pytest.fixture
def told() -> Iterator[Receiver]:
    """A receiver."""
    with receiver() as running:
        yield running


def notice(kind: NoticeKind, **fields: Any) -> Notice:
    """Such a notice."""
    return Notice("1-1", 1, kind, NOW_MS, fields)


@pytest.mark.parametrize(
    ("kind", "fields", "is_told"),
    [
        (NoticeKind.GATE_SHUT, {"reason": "throttled", "till": NOW_MS + 59_999}, False),
        (NoticeKind.GATE_SHUT, {"reason": "throttled", "till": NOW_MS + 60_000}, True),
        (NoticeKind.GATE_SHUT, {"reason": "throttled"}, True),
        (NoticeKind.GATE_SHUT, {"reason": "throttled", "till": "soon"}, True),
        (NoticeKind.GATE_OPENED, {"reason": "throttled", "shut_ms": 59_999}, False),
        (NoticeKind.GATE_OPENED, {"reason": "throttled", "shut_ms": 60_000}, True),
        (NoticeKind.GATE_OPENED, {"reason": "outage", "shut_ms": 1}, True),
    ],
)
def test_short_waits_are_daily_business(kind: NoticeKind, fields: dict[str, Any], is_told: bool) -> None:
    """A Retry-After of less than a minute alerts nobody."""
    assert (alert_of(notice(kind, **fields)) is not None) is is_told


@pytest.mark.parametrize("kind", NoticeKind)
def test_what_begins_and_ends_has_one_key(kind: NoticeKind) -> None:
    """So the receiver can put them together; a notice that another program has written breaks nothing."""
    alert = alert_of(notice(kind, reason="outage", key="k", what="no_workers"))
    if alert is None:
        assert kind in SILENT or kind.value == "held"
        return
    assert "?" not in alert.key
    assert alert.status in Status
    empty = alert_of(notice(kind))
    assert empty is not None


@pytest.mark.parametrize(
    "words",
    ["<!channel> look", "@here", "[pay](https://evil.example)", "a\nclosed: all is well", "\x1b[2J", "x" * 5000],
    ids=["mention", "here", "link", "line", "terminal", "long"],
)
def test_words_from_outside_are_only_words(words: str) -> None:
    """A rejected event may hold anything: it mentions nobody, links nowhere and makes no line of its own."""
    alert = alert_of(notice(NoticeKind.REJECTED, problem=words))
    assert alert is not None
    document = alert.as_json("closer")
    assert not any(sign in document["text"] for sign in ("<", "@", "](", "\n", "\x1b"))
    assert len(document["text"]) < 1100
    assert document["data"]["fields"]["problem"] == words


def test_a_drill_has_one_of_each() -> None:
    """Every kind that is ever sent."""
    sent = {alert.kind for alert in drills(NOW_MS)}
    assert sent >= {kind.value for kind in NoticeKind if alert_of(notice(kind, reason="outage"))}
    assert "notices_missed" in sent


def test_the_drill(cli: Cli, told: Receiver) -> None:
    """One of each arrives, marked as a drill in its words and its data; no store is needed."""
    away = f"redis://127.0.0.1:{free_port()}/0"
    done = cli.json("alerts", "drill", alert_webhook_url=told.url, redis_url=away)
    assert done["problem"] is None
    assert done["delivered"] == told.kinds
    assert len(told.got) == len({*told.ids}) == len(drills(NOW_MS))
    assert all(document["data"]["drill"] for document in told.documents)
    assert all(document["text"].startswith("DRILL, nothing has happened: closer: ") for document in told.documents)
    assert "alerts were delivered: gate_shut" in cli.text("alerts", "drill", alert_webhook_url=told.url)


def test_a_drill_that_fails(cli: Cli, told: Receiver) -> None:
    """It ends at the first that is not taken, says why, and does not show the address."""
    told.status = 404
    code, said = cli.said("alerts", "drill", alert_webhook_url=told.url)
    assert code == 1
    assert "gate_shut was not delivered, and the rest was not tried: 127.0.0.1 answers with 404" in said
    assert "T0KEN" not in said
    assert len(told.got) == 1


def test_a_drill_without_a_webhook(cli: Cli) -> None:
    """It names the variable."""
    ended = cli("alerts", "drill", code=2)
    assert "CLOSER_ALERT_WEBHOOK_URL is not set" in ended.stderr
