"""`closer publish`: everything is checked before anything is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import redis

from tests.operations.conftest import Cli
from tests.support import STREAM, cloud_event


def sent(store: redis.Redis) -> list[dict[str, object]]:
    """The events on the stream."""
    entries: Any = store.xrange(STREAM)
    return [json.loads(fields[b"event"]) for _, fields in entries]


def test_each_reference_becomes_an_event_of_its_own(cli: Cli, store: redis.Redis) -> None:
    """Each is a CloudEvent with a unique id, whose source tells who published it and where."""
    assert cli.json("publish", "sg_1", "sg_2")["published"] == 2
    events = sent(store)
    assert [event["data"] for event in events] == [{"reference": "sg_1"}, {"reference": "sg_2"}]
    assert events[0]["id"] != events[1]["id"]
    assert str(events[0]["source"]).startswith("closer-cli/")


def test_source_and_id_can_be_given(cli: Cli, store: redis.Redis) -> None:
    """Both can be given; an id is accepted with exactly one reference."""
    cli("publish", "sg_1", "--source", "erp", "--id", "42")
    assert [(event["source"], event["id"]) for event in sent(store)] == [("erp", "42")]
    cli("publish", "sg_1", "sg_2", "--id", "42", code=2)


def test_a_file_or_standard_input_holds_references_and_events(cli: Cli, store: redis.Redis, tmp_path: Path) -> None:
    """One a line, in either form; empty lines do not count; an event goes out as it is."""
    file = tmp_path / "groups"
    file.write_text(f"sg_1\n\n{cloud_event('sg_2', 'e2')}\n")
    cli("publish", "--file", str(file))
    cli("publish", "-", stdin='{"reference": "sg_3"}\nsg_4')
    assert [event.get("id") for event in sent(store)][1:3] == ["e2", None]
    assert len(sent(store)) == 4


def test_wrong_lines_are_named_and_nothing_is_sent(cli: Cli, store: redis.Redis) -> None:
    """Each wrong line is told with its number and its problem, without its control characters."""
    done = cli("publish", "-", code=2, stdin='sg_1\nbad ref\n{"reference": 7}\nx\x1b[31m\n')
    assert 'line 2: "bad ref" is not a reference' in done.stderr
    assert "line 3: reference:" in done.stderr
    assert "line 4" in done.stderr
    assert "\x1b" not in done.stderr
    assert sent(store) == []


def test_nothing_to_publish_is_wrong_usage(cli: Cli) -> None:
    """Without any event the command fails, and says so."""
    cli("publish", code=2)
    cli("publish", "-", code=2)
    cli("publish", "-", "sg_1", code=2)
