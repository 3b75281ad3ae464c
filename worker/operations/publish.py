"""Publishes events by hand. All lines are checked before the first event is sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from tasks.events import batch
from tasks.events.event import Rejection
from tasks.events.event_type import OWN_TYPE, EventTypes
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb
from worker.operations.reference_lines import Line
from worker.operations.refusal import Refused, Rule

_BATCH = 500


@dataclass(slots=True)
class Batch:
    """What is to be published.

    `source`, `event_id`: of events that are made of references. `events`: references, each once, and events in JSON.
    `wrong`: what is wrong with each line that closer would reject. `repeats`: how many references came again.
    """

    source: str
    event_id: str | None = None
    events: list[str | bytes] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    repeats: int = 0

    def bodies(self, start: int = 0, most: int | None = None) -> list[bytes]:
        """Return up to `most` events in JSON from the place `start` on. Those of references get their time now."""
        some = self.events[start : None if most is None else start + most]
        return [one if isinstance(one, bytes) else cloud_event(one, self.source, self.event_id) for one in some]


def prepare(lines: Iterable[Line], *, source: str, types: EventTypes, event_id: str | None = None) -> Batch:
    """Check each line, which holds a reference, or an event in JSON, or an array of events.

    `source`: the source of events that are made of references. `event_id`: their id; None for a new one each. `types`:
    the types that are accepted; an event of another type is wrong.
    """
    made, seen = Batch(source, event_id), set[str]()
    for line in lines:
        if problem := line.problem or _problem(line.event, types):
            made.wrong.append(f"{line.where}: {problem}")
        elif line.reference in seen:
            made.repeats += 1
        else:
            made.events.append(line.event or line.reference)
            seen.update({line.reference} - {""})
    return made


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
        await context.ledger.events.publish(stream, made.bodies(start, _BATCH))
    return stream


def _problem(event: bytes, types: EventTypes) -> str:
    """Return why an event, or one in an array, would be rejected; "" when none would be, or there is none."""
    elements = batch.read(event, source="line", event_id="line", types=types) if event else []
    return "; ".join(str(element.event) for element in elements if isinstance(element.event, Rejection))
