"""Reading task messages: whatever comes, the groups it names are found, the rest is kept with a reason."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.envelope import MAX_MESSAGE_BYTES, Envelope, Unreadable, from_redis, unpacked
from tasks.task_message import KEPT_BYTES, TASK_NAME, Aside, TaskMessage, asides, put_aside, read

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def given(body: Any, **headers: Any) -> TaskMessage:
    """What a message with this body comes to."""
    return read(Envelope(json.dumps(body).encode(), {"task": TASK_NAME, "id": "t-1"} | headers), NOW)


@pytest.mark.parametrize(
    ("args", "kwargs", "references"),
    [
        ([["sg_1"]], {}, ("sg_1",)),
        (["sg_1"], {}, ("sg_1",)),
        ([], {"references": ["sg_1"]}, ("sg_1",)),
        ([["sg_1", "sg_2"]], None, ("sg_1", "sg_2")),
        ([[]], {}, ()),
    ],
)
def test_arguments(args: Any, kwargs: Any, references: tuple[str, ...]) -> None:
    """References come as the one argument, by place or by name."""
    assert given([args, kwargs, {}]) == TaskMessage("t-1", references)


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ([], {}),
        ([["a"], ["b"]], {}),
        ([["a"]], {"lock": True}),
        ([], {"refs": ["a"]}),
        ("sg_1", {}),
        ({"0": ["a"]}, {}),
        ([["a"]], ["b"]),
    ],
)
def test_other_arguments(args: Any, kwargs: Any) -> None:
    """Any other signature puts the message aside as it is: it must not destroy what was meant to be closed."""
    message = given([args, kwargs, {}])
    assert message.references == ()
    whole = [args, kwargs, {}] if not isinstance(args, list) else {"args": args, "kwargs": kwargs}
    assert [json.loads(one.body) for one in message.aside] == [whole]


def test_each_wrong_reference_is_put_aside_by_itself() -> None:
    """What is right beside it is received; the problem says which one is wrong."""
    message = given([[["sg_1", "../x", 5, "sg_2", None]], {}, {}])
    assert message.references == ("sg_1", "sg_2")
    assert [one.body for one in message.aside] == [b'"../x"', b"5", b"null"]
    assert [one.problem.partition(":")[0] for one in message.aside] == [
        "references[1]", "references[2]", "references[4]",
    ]  # fmt: skip


def test_many_wrong_references_are_put_aside_as_one() -> None:
    """A message of nothing but wrong references becomes one rejected event, not a flood of them."""
    message = given([[["x y"] * 5_000], {}, {}])
    assert len(message.aside) == 1
    assert "5000 are not references" in message.aside[0].problem


@pytest.mark.parametrize(
    ("eta", "received"),
    [
        (None, True),
        ("2026-11-25T00:00:00+00:00", True),
        ("2026-11-24T23:59:59", True),
        ("2026-11-25T01:00:00+02:00", True),
        ("2026-11-25T00:00:01Z", False),
        ("2026-11-25T00:00:01", False),
        ("9999-12-31T23:59:59-23:59", False),
        ("soon", False),
        ("", False),
        (5, False),
        ([], False),
    ],
)
def test_nothing_is_closed_before_its_time(eta: Any, received: bool) -> None:
    """A group whose time has not come is kept as an event that a replay receives; an odd time counts as not come."""
    message = given([[["sg_1"]], {}, {}], eta=eta)
    assert message.references == (("sg_1",) if received else ())
    assert [json.loads(one.body) for one in message.aside] == ([] if received else [{"reference": "sg_1"}])
    assert all(one.problem.startswith("eta: ") for one in message.aside)


@pytest.mark.parametrize("task_id", [5, 5.5, True, ["x"], {"x": 1}, "t", "é\ud800\n"])
def test_any_id(task_id: Any) -> None:
    """Whatever the id is, it is text afterwards."""
    message = given([[["sg_1"]], {}, {}], id=task_id)
    assert message.references == ("sg_1",)
    assert message.task_id == (task_id if isinstance(task_id, str) else json.dumps(task_id))


def test_no_id() -> None:
    """Messages without an id are told apart."""
    assert given([[["a"]], {}, {}], id=None).task_id != given([[["a"]], {}, {}], id="").task_id


def test_another_programs_task_is_kept_whole() -> None:
    """Its headers, too, so that it can be sent again where it belongs."""
    (kept,) = given([["x"], {}, {}], task="reports.send", retries=3).aside
    document = json.loads(kept.body)
    assert document["headers"]["task"] == "reports.send"
    assert document["headers"]["retries"] == 3
    assert json.loads(document["body"]) == [["x"], {}, {}]
    assert '"reports.send" is not closer\'s' in kept.problem


@pytest.mark.parametrize(
    "message",
    [
        TaskMessage("t-1", ("sg_1", "sg_2")),
        TaskMessage("t-1", (), (Aside(bytes(range(256)), "why"),)),
        TaskMessage("t-1", ("sg_1",), (Aside(b"x", "one"), Aside(b"", "two"))),
        put_aside(b"\xff" * (KEPT_BYTES + 1), "too much", "t-1"),
    ],
)
def test_a_message_made_anew_is_read_the_same(message: TaskMessage) -> None:
    """One that goes back to the queue comes again as it was."""
    again = read(Envelope(message.body(), message.headers(), "application/json"), NOW)
    assert again == message


def test_what_is_made_anew_holds_no_foreign_header() -> None:
    """Nothing that Celery acts upon is carried over."""
    odd = {"eta": "2020-01-01", "expires": "2020-01-01", "timelimit": [1, 1], "retries": 9, "group": "g", "stamps": {}}
    message = given([[["sg_1"]], {}, {"callbacks": [], "chord": {}, "chain": None}], **odd)
    assert message.headers().keys() == {"lang", "task", "id", "root_id", "argsrepr", "kwargsrepr"}
    assert json.loads(message.body()) == [[["sg_1"]], {}, {}]


FOLLOWERS = ["chain", "chord", "callbacks", "errbacks"]


@pytest.mark.parametrize("name", FOLLOWERS)
@pytest.mark.parametrize("version", [1, 2])
def test_what_is_to_follow_is_not_lost_in_silence(name: str, version: int) -> None:
    """No group is received. Each is kept as an event that can be replayed, and the message with what was to follow."""
    follows = {name: [{"task": "notify", "args": []}]}
    v1 = {"task": TASK_NAME, "id": "t-1", "args": [["sg_1", "sg_2", 5]], "kwargs": {}} | follows
    v2 = [[["sg_1", "sg_2", 5]], {}, follows]
    message = given(v1 if version == 1 else v2)
    assert message.references == ()
    wrong, *groups, whole = message.aside
    assert (wrong.body, wrong.problem.partition(":")[0]) == (b"5", "references[2]")
    assert [json.loads(one.body) for one in groups] == [{"reference": "sg_1"}, {"reference": "sg_2"}]
    assert all(one.problem.startswith(f"{name}: closer calls nothing back") for one in groups)
    assert json.loads(whole.body) == (v1 if version == 1 else v2)
    assert whole.problem.startswith(f"task message: {name}: closer calls nothing back")
    again = read(Envelope(message.body(), message.headers(), "application/json"), NOW)
    assert (again.references, again.aside) == (message.references, message.aside)


def test_a_large_message_that_is_to_be_followed() -> None:
    """One of more than a hundred groups is kept once, as it is."""
    message = given([[[f"sg_{number}" for number in range(101)]], {}, {"chain": [{"task": "notify"}]}])
    assert message.references == ()
    (whole,) = message.aside
    assert b"sg_100" in whole.body
    assert b"notify" in whole.body


@pytest.mark.parametrize("nothing", [None, [], {}, "", 0])
@pytest.mark.parametrize("name", FOLLOWERS)
def test_what_nothing_is_to_follow(name: str, nothing: Any) -> None:
    """Celery names each kind of follower in every message; where none is given the group is received."""
    assert given([[["sg_1"]], {}, {name: nothing}]) == TaskMessage("t-1", ("sg_1",))


def test_only_so_much_is_kept() -> None:
    """Of a longer message the beginning is kept, and the reason says so."""
    (kept,) = put_aside(b"x" * (KEPT_BYTES + 1), "it is odd").aside
    assert len(kept.body) == KEPT_BYTES
    assert f"the first {KEPT_BYTES} of its {KEPT_BYTES + 1} bytes are kept" in kept.problem


def test_envelopes_are_read() -> None:
    """Body, headers and content type, whether the body is base64 or not."""
    document = {"body": "[1]", "headers": {"id": "x"}, "content-type": "application/json", "properties": {}}
    expected = Envelope(b"[1]", {"id": "x"}, "application/json")
    assert from_redis(json.dumps(document).encode()) == expected
    document |= {"body": base64.b64encode(b"[1]").decode(), "properties": {"body_encoding": "base64"}}
    assert from_redis(json.dumps(document).encode()) == expected


def test_a_message_has_a_limit() -> None:
    """Packed or not, what is longer is not read."""
    with pytest.raises(Unreadable, match="the limit is"):
        from_redis(b" " * (MAX_MESSAGE_BYTES + 1))
    with pytest.raises(Unreadable, match="the limit is"):
        unpacked(b" " * (MAX_MESSAGE_BYTES + 1), {}, "application/json")


def test_what_is_not_what_we_have_put_aside() -> None:
    """A list that another program has made up, with half a character in it, is not one of ours."""
    assert asides([["\ud800", "why"]]) is None
    assert asides([["good", "why"]]) is not None


@pytest.mark.parametrize(("number", "parts"), [(1000, 1000), (1001, 1)])
def test_what_was_put_aside_has_a_limit(number: int, parts: int) -> None:
    """A message of another program that looks as if a reader had put thousands aside is kept whole, as one."""
    message = given([[["sg_1"], [["x", "why"]] * number], {}, {}])
    assert len(message.aside) == parts
    assert message.references == (("sg_1",) if parts > 1 else ())


def test_a_name_that_is_nested_too_deeply() -> None:
    """What was nested just so that it could be read, and not be shown, is kept as rejected."""
    name: list[Any] = []
    for _ in range(100_000):
        name = [name]
    message = read(Envelope(b"{}", {"task": name, "id": "t-1"}), NOW)
    assert message.references == ()
    assert message.aside[0].problem == "task message: it cannot be read (RecursionError)"
