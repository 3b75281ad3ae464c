"""Reads a task message: any program's bytes come in, references and what must be put aside go out.

The message that Celery sees is made anew from the result, so no header or option of a foreign message reaches Celery.
None can expire a task, run a callback, hold a prefetch slot, or break the consumer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tasks.envelope import Envelope, Unreadable, load_json
from tasks.events.data import REFERENCE_SHAPE
from tasks.events.event import is_reference
from tasks.events.strict_json import fields

TASK_NAME = "tasks.close_groups"
KEPT_BYTES = 1024 * 1024  # how much of a message that is put aside is kept
_MOST_ASIDE = 100  # a message with more items that are not references is put aside as a whole
_MOST_KEPT = 1000  # a message in which an earlier reader has put aside more was not made by closer
_FOLLOWERS = ("chain", "chord", "callbacks", "errbacks")  # as Celery calls them in a message
_JSON = {"", "application/json", "text/json"}
_NOT_ONE_LIST = "its arguments are not one list of references"


@dataclass(frozen=True, slots=True)
class Aside:
    """Bytes that are kept as a rejected event, at most 1 MiB of them. `problem`: why they are not received."""

    body: bytes
    problem: str


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """What was read from a message.

    `task_id`: the sender's id, by which people find the message again; a new one if it had none. `references`: the
    groups to be closed. `aside`: the parts that are kept as rejected.
    """

    task_id: str
    references: tuple[str, ...] = ()
    aside: tuple[Aside, ...] = ()

    def arguments(self) -> list[Any]:
        """Return the task's arguments: the list of references, and a second one only if something is put aside.

        That one is a list of [bytes as text, problem] pairs, which `asides` reads back.
        """
        kept = [[one.body.decode("utf-8", "surrogateescape"), one.problem] for one in self.aside]
        return [list(self.references), kept] if kept else [list(self.references)]

    def headers(self) -> dict[str, Any]:
        """Return the headers of Celery's message protocol, version 2: only those that name the task."""
        return {"lang": "py", "task": TASK_NAME, "id": self.task_id, "root_id": self.task_id,
                "argsrepr": f"<{len(self.references)} references>", "kwargsrepr": "{}"}  # fmt: skip

    def body(self) -> bytes:
        """Return the message's body as JSON: arguments by place, none by name, no options."""
        return json.dumps([self.arguments(), {}, {}]).encode()


def put_aside(raw: bytes, problem: str, task_id: str = "") -> TaskMessage:
    """Return a message of which nothing is received, and whose first mebibyte is kept.

    `problem`: what is wrong, for the operator. `task_id`: the sender's; "" for a new one.
    """
    if len(raw) > KEPT_BYTES:
        problem += f"; the first {KEPT_BYTES} of its {len(raw)} bytes are kept"
    return TaskMessage(task_id or str(uuid4()), aside=(Aside(raw[:KEPT_BYTES], f"task message: {problem}"),))


def read(envelope: Envelope, now: datetime) -> TaskMessage:
    """Read a message of any program. It never raises: what cannot be read is put aside.

    `now`: the time, with a time zone. A message whose `eta` is later is put aside, because closer closes at once.
    """
    task_id = ""
    try:
        told, args, kwargs, embed = _parts(envelope)
        task_id = _id(told.get("id"))
        if told.get("task") != TASK_NAME:
            name = json.dumps(told.get("task"))[:200]
            return put_aside(envelope.whole(), f"the task {name} is not closer's, which is {TASK_NAME}", task_id)
        followers = _followers(embed)
        taken = _taken(task_id, args, kwargs, envelope.body, _not_before(told.get("eta"), now) or followers)
        return _with_followers(taken, envelope.body, followers) if followers else taken
    except Unreadable as error:
        return put_aside(envelope.body, str(error), task_id)
    except Exception as error:  # also RecursionError: what could be read may be too deep to be written
        return put_aside(envelope.body, f"it cannot be read ({type(error).__name__})", task_id)


def wrong_reference(index: int) -> str:
    """Return what is wrong with the value at this place of the references, which is not one."""
    return f"references[{index}]: {REFERENCE_SHAPE} are needed"


def asides(kept: Any) -> list[Aside] | None:
    """Return what was put aside, from the second argument of `TaskMessage.arguments`; None if it is something else."""
    if not isinstance(kept, list) or not all(_is_pair(one) for one in kept):
        return None
    try:
        return [Aside(body.encode("utf-8", "surrogateescape")[:KEPT_BYTES], problem[:1000]) for body, problem in kept]
    except UnicodeEncodeError:
        return None


def _parts(envelope: Envelope) -> tuple[dict[str, Any], Any, Any, Any]:
    """Return what the message tells of itself, its arguments by place and by name, and what is to follow the task.

    Versions 1 and 2 of Celery's protocol are read. Raises Unreadable when it is not JSON or names no task.
    """
    if envelope.content_type.lower() not in _JSON:
        raise Unreadable(f"its content type is {envelope.content_type[:100]!r}, closer reads JSON")
    document = load_json(envelope.body)
    named = envelope.headers | (document if isinstance(document, dict) else {})
    if "task" not in named:
        raise Unreadable("it names no task; events belong on the stream")
    if isinstance(document, dict):  # version 1: all in the body
        return named, document.get("args"), document.get("kwargs"), document
    if not isinstance(document, list):
        return envelope.headers, None, None, None
    args, kwargs, embed = (*document, None, None, None)[:3]
    return envelope.headers, args, kwargs, embed


def _followers(embed: Any) -> str:
    """Return why no group of a message may be closed whose sender wants other tasks to be run after it; "" otherwise.

    closer runs none. If it closed the groups, which cannot be taken back, what was to follow would be lost in silence.
    """
    names = [name for name in _FOLLOWERS if embed.get(name)] if isinstance(embed, dict) else []
    if not names:
        return ""
    return f"{', '.join(names)}: closer calls nothing back, so it closes none of the groups that are to be followed"


def _with_followers(taken: TaskMessage, body: bytes, followers: str) -> TaskMessage:
    """Put the message aside as well, once, because it holds what was to follow."""
    (whole,) = put_aside(body, followers).aside
    return taken if whole in taken.aside else replace(taken, aside=(*taken.aside, whole))


def _taken(task_id: str, args: Any, kwargs: Any, body: bytes, not_now: str) -> TaskMessage:
    """Return the references that are valid, and put the rest aside: one by one up to 100 of them, else all at once.

    `not_now`: why none may be closed, "" when all may be. Each is then put aside as an event, which can be replayed.
    """
    given = _given(args, kwargs)
    if given is None:
        told = json.dumps({"args": args, "kwargs": kwargs}).encode() if isinstance(args, list) else body
        return put_aside(told, _NOT_ONE_LIST + _other_names(kwargs), task_id)
    references, kept = given
    if isinstance(references, str):
        references = [references]
    if not isinstance(references, list):
        return TaskMessage(task_id, aside=(_aside(references, "references: a list of strings is needed"),))
    good = [one for one in references if is_reference(one)]
    if len(references) - len(good) > _MOST_ASIDE or (not_now and len(good) > _MOST_ASIDE):
        return put_aside(body, not_now or f"references: {len(references) - len(good)} are not references", task_id)
    wrong = [_aside(one, wrong_reference(index)) for index, one in enumerate(references) if not is_reference(one)]
    if not_now:
        wrong += [_aside({"reference": one}, not_now) for one in good]
        good = []
    return TaskMessage(task_id, tuple(good), (*kept, *wrong))


def _given(args: Any, kwargs: Any) -> tuple[Any, Sequence[Aside]] | None:
    """Return the references, given by place or by name, and what an earlier reader of this message put aside."""
    args = [] if args is None else args
    kwargs = {} if kwargs is None else kwargs
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        return None
    if len(args) == 1 and not kwargs:
        return args[0], ()
    if not args and kwargs.keys() == {"references"}:
        return kwargs["references"], ()
    if len(args) == 2 and not kwargs and (kept := asides(args[1])) is not None and len(kept) <= _MOST_KEPT:
        return args[0], kept
    return None


def _other_names(kwargs: Any) -> str:
    """Return the names of arguments that closer does not know; "" where there are none."""
    others = [name for name in kwargs if name != "references"] if isinstance(kwargs, dict) else []
    return f"; it does not know {fields(others)}, accepted is references" if others else ""


def _not_before(eta: Any, now: datetime) -> str:
    """Return why the groups must not be closed yet, "" when they may be. An `eta` without a zone is in UTC."""
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
    """Return the sender's id as text, cut at 200 characters; a new unique one when there is none."""
    if value is None or value == "":
        return str(uuid4())
    return (value if isinstance(value, str) else json.dumps(value))[:200]


def _is_pair(one: Any) -> bool:
    return isinstance(one, list) and len(one) == 2 and all(isinstance(text, str) for text in one)
