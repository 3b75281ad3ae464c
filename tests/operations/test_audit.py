"""`closer audit`, through the real console script: whatever stands in the store, and safe in a shell."""

from __future__ import annotations

from typing import Any

import redis

from tasks.closure import Reason
from tests.operations.conftest import Cli
from tests.operations.seed import Seed
from tests.support import key_of


def test_foreign_entries_of_the_streams_are_shown_or_passed_over(cli: Cli, store: redis.Redis) -> None:
    """Another program's entries keep neither the audit nor the rejected events from being read."""
    cli("pause", "--why", "test")
    announced: Any = store.xrevrange(key_of("audit"), count=1)
    of = announced[0][0]
    entries: list[dict[Any, Any]] = [
        {b"\xff": b"\xff"},
        {b"by": b"\xff", b"action": b"x", b"matched": b"many", b"skipped": b"[", b"changed": b"-1"},
        {b"of": of, b"changed": b"x", b"skipped": b'{"a":"b"}'},
        {b"of": b"\xff", b"changed": b"9" * 5000},
    ]
    for entry in entries:
        store.xadd(key_of("audit"), entry)
    assert {entry["action"] for entry in cli.lines("audit")} == {"pause", "x"}
    assert "pause" in cli.text("audit")
    for problems in (b"[", b"7", b"\xff", b"[" * 50_000, b'["event: x"]'):
        store.xadd(key_of("rejected"), {b"problems": problems, b"\xff": b"x"})
    store.xadd(key_of("rejected"), {"event": "x"}, id="18446744073709551615-1")
    assert len(cli.lines("rejected", "list")) == 6
    assert "event: x" in cli.text("rejected", "list")


def test_entries_of_an_earlier_release_are_shown(cli: Cli, store: redis.Redis) -> None:
    """Entries of an earlier release have their selection in words and no door, and are shown."""
    entry: dict[Any, Any] = {"by": "jo", "action": "requeue", "filter": "--reason gone", "matched": 3, "why": "w"}
    store.xadd(key_of("audit"), entry)
    [shown] = cli.lines("audit")
    assert (shown["filter"], shown["selection"], shown["door"]) == ("--reason gone", None, None)
    assert "jo: requeue --reason gone" in cli.text("audit")


def test_what_the_audit_shows_is_safe_in_a_shell(cli: Cli) -> None:
    """Blanks, quotes, `;`, `$` and `*` of a filter are quoted for a shell; the JSON has them as they are."""
    cli.sow([Seed("sg_1", Reason.GONE, 410, "gone", "a;b $HOME *")])
    cli("requeue", "--source", "a;b $HOME *", "--why", "w")
    [entry] = cli.lines("audit")
    assert entry["filter"] == "--source 'a;b $HOME *'"
    assert entry["selection"] == {"filter": {"source": ["a;b $HOME *"]}}
