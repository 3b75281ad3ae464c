"""`closer rejected`: corrected and replayed, or discarded, and never lost on the way."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.operations.conftest import Cli
from tests.support import key_of
from worker.operations.corrections import corrections, set_field


def reject(store: redis.Redis, body: bytes, origin: str = "7-0") -> str:
    """Put an event aside, as the intake does."""
    entry: dict[Any, Any] = {"event": body, "problems": '["reference: missing"]', "origin": origin}
    rejected_id: Any = store.xadd(key_of("rejected"), entry)
    return str(rejected_id.decode())


def test_a_corrected_event_is_received_and_gone_from_the_rejected(cli: Cli, store: redis.Redis) -> None:
    """--set puts the reference in; the closure has the entry's own identity, so a second replay is a duplicate."""
    first, second = reject(store, b'{"reference": "bad ref"}'), reject(store, b"no json at all")
    assert [one["id"] for one in cli.lines("rejected", "list")] == [second, first]
    result = cli.json("rejected", "replay", first, "--set", "reference=sg_1", "--why", "typo")
    assert result.pop("id")
    assert result == {"matched": 1, "replayed": 1, "received": {"new": 1}, "still_rejected": {}}
    assert cli.json("show", "sg_1")["event_id"] == "7-0"
    again = cli.json("rejected", "replay", second, "--set", "reference=sg_1")
    assert again["received"] == {"duplicate": 1}
    assert cli.lines("rejected", "list") == []
    assert [(entry["action"], entry["filter"], entry["changed"]) for entry in cli.lines("audit")] == [
        ("replay", f"{first} --set reference=sg_1", 1),
        ("replay", f"{second} --set reference=sg_1", 1),
    ]


def test_what_is_still_wrong_stays(cli: Cli, store: redis.Redis) -> None:
    """Exit code 1, with what is wrong; the bytes are kept as they came, and the audit does not call it interrupted."""
    rejected_id = reject(store, b'{"reference": "bad ref"}')
    done = cli("rejected", "replay", rejected_id, "--set", "reference=still bad", code=1)
    assert f"{rejected_id} is still wrong: reference:" in done.stderr
    assert cli.json("rejected", "show", rejected_id)["event"] == '{"reference": "bad ref"}'
    assert "changed 0 of 1 (not: 1 still wrong)" in cli.text("audit")


def test_an_event_is_corrected_in_the_editor(cli: Cli, store: redis.Redis, tmp_path: Path) -> None:
    """--edit opens $EDITOR with the bytes."""
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/bad ref/sg_7/' \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    rejected_id = reject(store, b'{"reference": "bad ref"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDITOR", str(editor))
        patch.delenv("VISUAL", raising=False)
        cli("rejected", "replay", rejected_id, "--edit")
    assert cli.json("show", "sg_7")["state"] == "queued"


def test_an_editor_may_write_what_is_not_utf_8(cli: Cli, store: redis.Redis, tmp_path: Path) -> None:
    """The event is still wrong then, and is kept as it came."""
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nprintf '\\377' > \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    rejected_id = reject(store, b'{"reference": "bad ref"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDITOR", str(editor))
        patch.delenv("VISUAL", raising=False)
        done = cli("rejected", "replay", rejected_id, "--edit", code=1)
    assert "still wrong: event: not UTF-8 at byte 0" in done.stderr


def test_discarding_rejected_events_is_audited(cli: Cli, store: redis.Redis) -> None:
    """Discarding needs a reason; an id that does not exist changes nothing."""
    rejected_id = reject(store, b"x")
    cli("rejected", "discard", rejected_id, code=2)
    cli("rejected", "discard", rejected_id, "1-1", "--why", "test", code=1)
    cli("rejected", "show", "not-an-id", code=2)
    assert cli.json("rejected", "discard", rejected_id, "--why", "test") == {
        "matched": 1, "exported": 0, "discarded": 1, "dry_run": False,
    }  # fmt: skip
    assert store.xlen(key_of("rejected")) == 0
    [entry] = cli.lines("audit")
    assert (entry["action"], entry["why"], entry["changed"]) == ("discard rejected", "test", 1)


@pytest.mark.parametrize(
    ("body", "path", "corrected"),
    [
        (b'{"reference": "x", "a": 1}', "reference", b'{"reference": "sg_1", "a": 1}'),
        (
            b'{"specversion": "1.0", "data": null}',
            "reference",
            b'{"specversion": "1.0", "data": {"reference": "sg_1"}}',
        ),
        (b'{"specversion": "1.0"}', "data.reference", b'{"specversion": "1.0", "data": {"reference": "sg_1"}}'),
        (b'{"specversion": "1.0", "id": ""}', "id", b'{"specversion": "1.0", "id": "sg_1"}'),
        (b"\xff", "reference", b'{"reference": "sg_1"}'),
        (b"7", "reference", b'{"reference": "sg_1"}'),
        (
            b'{"specversion": "1.0", "data": "{\\"reference\\": \\"a b\\", \\"x\\": 1}"}',
            "reference",
            b'{"specversion": "1.0", "data": {"reference": "sg_1", "x": 1}}',
        ),
        (
            b'{"specversion": "1.0", "data_base64": "eyJ4IjogMX0="}',
            "reference",
            b'{"specversion": "1.0", "data": {"x": 1, "reference": "sg_1"}}',
        ),
    ],
)
def test_a_field_is_set_where_the_event_has_it(body: bytes, path: str, corrected: bytes) -> None:
    """`reference` goes where the kind of event keeps it; what is not an object is replaced by a bare event."""
    assert corrections([set_field(path, "sg_1")])(body) == corrected
