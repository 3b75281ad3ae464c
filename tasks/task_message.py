"""A task message: whatever a program put on the queue in, the groups that it names and what is put aside out.

What Celery sees is made anew of the result. So no header or option of a foreign message reaches Celery: nothing in it
can expire a task, run a callback, hold a prefetch slot, or break the consumer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tasks.envelope import Envelope, Unreadable, load_json
from tasks.events.event import is_reference

TASK_NAME = "tasks.close_groups"
KEPT_BYTES = 1024 * 1024  # of a message that is put aside
_MOST_ASIDE = 100  # a message that holds more of what is not a reference is put aside as a whole
_JSON = {"", "application/json", "text/json"}
_NOT_ONE_LIST = "its arguments are not one list of references"
_NEEDED = "1 to 128 characters of A-Z a-z 0-9 _ - are needed"


@dataclass(frozen=True, slots=True)
class Aside:
    """Bytes to be kept as a rejected event, and why they are not received."""

    body: bytes
    problem: str


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """What a message comes to. `task_id` is the sender's, for people to find it again."""

    task_id: str
    references: tuple[str, ...] = ()
    aside: tuple[Aside, ...] = ()

    def arguments(self) -> list[Any]:
        """The task's arguments: the references; and only where something is put aside, that as pairs of texts."""
        kept = [[one.body.decode("utf-8", "surrogateescape"), one.problem] for one in self.aside]
        return [list(self.references), kept] if kept else [list(self.references)]

    def headers(self) -> dict[str, Any]:
        """The headers of Celery's message protocol, version 2, and none that does more than name the task."""
        return {"lang": "py", "task": TASK_NAME, "id": self.task_id, "root_id": self.task_id,
                "argsrepr": f"<{len(self.references)} references>", "kwargsrepr": "{}"}  # fmt: skip

    def body(self) -> bytes:
        """The message's body, as JSON."""
        return json.dumps([self.arguments(), {}, {}]).encode()


def put_aside(raw: bytes, problem: str, task_id: str = "") -> TaskMessage:
    """A message of which nothing is received; the first mebibyte of its bytes is kept."""
    if len(raw) > KEPT_BYTES:
        problem += f"; the first {KEPT_BYTES} of its {len(raw)} bytes are kept"
    return TaskMessage(task_id or str(uuid4()), aside=(Aside(raw[:KEPT_BYTES], f"task message: {problem}"),))


def read(envelope: Envelope, now: datetime) -> TaskMessage:
    """Read a message of any program; never raises. `now`, with a time zone, is compared with its `eta`."""
    task_id = ""
    try:
        told, args, kwargs = _parts(envelope)
        task_id = _id(told.get("id"))
        if told.get("task") != TASK_NAME:
            name = json.dumps(told.get("task"))[:200]
            return put_aside(envelope.whole(), f"the task {name} is not closer's, which is {TASK_NAME}", task_id)
        return _taken(task_id, args, kwargs, envelope.body, _not_before(told.get("eta"), now))
    except Unreadable as error:
        return put_aside(envelope.body, str(error), task_id)
    except Exception as error:  # among them RecursionError: what was nested just so that it could be read
        return put_aside(envelope.body, f"it cannot be read ({type(error).__name__})", task_id)


def asides(kept: Any) -> list[Aside] | None:
    """What `TaskMessage.arguments` made of the bytes to put aside, read back; None when it is not that."""
    if not isinstance(kept, list) or not all(_is_pair(one) for one in kept):
        return None
    try:
        return [Aside(body.encode("utf-8", "surrogateescape")[:KEPT_BYTES], problem[:1000]) for body, problem in kept]
    except UnicodeEncodeError:
        return None


def _parts(envelope: Envelope) -> tuple[dict[str, Any], Any, Any]:
    """What the message tells of itself, its arguments by place and by name; in either version of Celery's protocol."""
    if envelope.content_type.lower() not in _JSON:
        raise Unreadable(f"its content type is {envelope.content_type[:100]!r}, closer reads JSON")
    document = load_json(envelope.body)
    named = envelope.headers | (document if isinstance(document, dict) else {})
    if "task" not in named:
        raise Unreadable("it names no task; events belong on the stream")
    if isinstance(document, dict):  # version 1: all in the body
        return named, document.get("args"), document.get("kwargs")
    if not isinstance(document, list) or not document:
        return envelope.headers, None, None
    return envelope.headers, document[0], document[1] if len(document) > 1 else None


def _taken(task_id: str, args: Any, kwargs: Any, body: bytes, too_early: str) -> TaskMessage:
    given = _given(args, kwargs)
    if given is None:
        told = json.dumps({"args": args, "kwargs": kwargs}).encode() if isinstance(args, list) else body
        return put_aside(told, _NOT_ONE_LIST, task_id)
    references, kept = given
    if isinstance(references, str):
        references = [references]
    if not isinstance(references, list):
        return TaskMessage(task_id, aside=(_aside(references, "references: a list of strings is needed"),))
    good = [one for one in references if is_reference(one)]
    if len(references) - len(good) > _MOST_ASIDE or (too_early and len(good) > _MOST_ASIDE):
        return put_aside(body, too_early or f"references: {len(references) - len(good)} are not references", task_id)
    wrong = [
        _aside(one, f"references[{index}]: {_NEEDED}") for index, one in enumerate(references) if not is_reference(one)
    ]
    if too_early:
        wrong += [_aside({"reference": one}, too_early) for one in good]
        good = []
    return TaskMessage(task_id, tuple(good), (*kept, *wrong))


def _given(args: Any, kwargs: Any) -> tuple[Any, Sequence[Aside]] | None:
    """The one argument, by place or by name, and what an earlier reader of this message has put aside."""
    args = [] if args is None else args
    kwargs = {} if kwargs is None else kwargs
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        return None
    if len(args) == 1 and not kwargs:
        return args[0], ()
    if not args and kwargs.keys() == {"references"}:
        return kwargs["references"], ()
    if len(args) == 2 and not kwargs and (kept := asides(args[1])) is not None:
        return args[0], kept
    return None


def _not_before(eta: Any, now: datetime) -> str:
    """Why the groups must not be closed yet; empty when nothing is against it."""
    if eta is None:
        return ""
    try:
        at = datetime.fromisoformat(eta)
    except (TypeError, ValueError):
        return f"eta: {json.dumps(eta)[:100]} is not a time; closer does not know whether it may close already"
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if at <= now:
        return ""
    return f"eta: closer closes at once, and this was not to be closed before {at.isoformat(timespec='seconds')}"


def _aside(value: Any, problem: str) -> Aside:
    return Aside(json.dumps(value).encode()[:KEPT_BYTES], problem)


def _id(value: Any) -> str:
    """The sender's id as text. A message without one gets one that no other has."""
    if value is None or value == "":
        return str(uuid4())
    return (value if isinstance(value, str) else json.dumps(value))[:200]


def _is_pair(one: Any) -> bool:
    return isinstance(one, list) and len(one) == 2 and all(isinstance(text, str) for text in one)
