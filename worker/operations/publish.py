"""Publishes events by hand. All lines are checked before the first event is sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tasks.events import batch
from tasks.events.data import REFERENCE_SHAPE
from tasks.events.event import Rejection, is_reference
from tasks.events.event_type import OWN_TYPE, EventTypes
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb
from worker.operations.refusal import Refused, Rule

_BATCH = 500


@dataclass(slots=True)
class Batch:
    """`events`: what is to be sent, as JSON. `wrong`: what is wrong with each line that closer would reject."""

    events: list[bytes] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def prepare(
    lines: Iterable[tuple[str, bytes]], *, source: str, types: EventTypes, event_id: str | None = None
) -> Batch:
    """Make an event of each line. A line holds a reference, or an event in JSON, or an array of events.

    `lines`: pairs of words that say where the line stands, and its bytes. Blank lines are passed over. `source`: the
    source of events that are made of references. `event_id`: their id; None for a new one each. `types`: the types that
    are accepted; an event of another type is wrong.
    """
    batch = Batch()
    for where, line in lines:
        text = line.strip()
        if not text:
            continue
        problem = _problem(text, types)
        if problem:
            batch.wrong.append(f"{where}: {problem}")
        else:
            batch.events.append(text if _is_json(text) else cloud_event(text.decode(), source, event_id))
    return batch


def cloud_event(reference: str, source: str, event_id: str | None) -> bytes:
    """Return a CloudEvents 1.0 event for a group, as JSON.

    `event_id`: its id; None for one that no other event has.
    """
    return json.dumps(
        {
            "specversion": "1.0",
            "id": event_id or str(uuid.uuid4()),
            "source": source,
            "type": OWN_TYPE,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "data": {"reference": reference},
        }
    ).encode()


async def send(context: OperatorContext, made: Batch) -> str:
    """Append the events to the stream, in order, and return the stream's name.

    They are sent 500 at a time. After a crash in between, publishing all of them again closes no group twice. Raises
    Refused, also when a line is wrong: then none is sent, because the operator means all of them. Raises
    StoreUnavailable.
    """
    context.guard(Verb.PUBLISH)
    if made.wrong:
        number = len(made.wrong)
        text = f"nothing was published: {number:,} {'line is' if number == 1 else 'lines are'} wrong"
        raise Refused(Rule.WRONG_LINES, text, wrong=made.wrong)
    stream = await context.stream()
    for start in range(0, len(made.events), _BATCH):
        await context.ledger.events.publish(stream, made.events[start : start + _BATCH])
    return stream


def _problem(text: bytes, types: EventTypes) -> str:
    if _is_json(text):
        elements = batch.read(text, source="line", event_id="line", types=types)
        return "; ".join(str(element.event) for element in elements if isinstance(element.event, Rejection))
    reference = text.decode("utf-8", "backslashreplace")
    return "" if is_reference(reference) else f"not a reference: it needs {REFERENCE_SHAPE}"


def _is_json(text: bytes) -> bool:
    return text.startswith((b"{", b"["))
