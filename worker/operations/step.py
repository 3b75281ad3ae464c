"""Says what to do next as a value. A door makes a command, a link or a button of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.errors import CloserError
from tasks.ledger.gate import Standing
from worker.operations.operator import Verb
from worker.operations.selection import Selection, of_type


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    `selection`: for which closures. `event_type`: for which rejected events. `lock`: lock the groups before they are
    closed.
    """

    verb: Verb
    selection: Selection | None = None
    event_type: str | None = None
    lock: bool = False

    def as_json(self) -> dict[str, Any]:
        """Return the step as other programs see it, without what is not set."""
        given = {
            "verb": self.verb.value, "selection": self.selection and self.selection.as_json(),
            "event_type": self.event_type, "lock": self.lock or None,
        }  # fmt: skip
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Step:
        """Read what `as_json` wrote. Raises ValueError for anything else."""
        if unknown := document.keys() - {"verb", "selection", "event_type", "lock"}:
            raise ValueError(f"{min(unknown)} is not part of a step")
        chosen, event_type = document.get("selection"), document.get("event_type")
        return cls(
            Verb(document.get("verb", "")),
            None if chosen is None else Selection.from_json(chosen),
            None if event_type is None else of_type(str, event_type),
            of_type(bool, document.get("lock", False)),
        )


class CouldNot(CloserError):
    """An operation could not be done. `step`: what to look at next, None if there is nothing."""

    def __init__(self, text: str, step: Step | None = None) -> None:
        super().__init__(text)
        self.step = step


class GateShut(CloserError):
    """The gate is shut, so the API was not asked. `standing`: the reason."""

    def __init__(self, standing: Standing) -> None:
        why = f": {standing.why}" if standing.why else ""
        super().__init__(f"the gate is shut ({standing.reason}, by {standing.by}{why}), so the API was not asked")
