"""What a check of the set-up found, one line for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from worker.operations.step import Step


class Finding(StrEnum):
    """How serious it is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at; `remedy` and `step` are what to do, where there is something to do."""

    name: str
    finding: Finding
    message: str
    remedy: str | None = None
    step: Step | None = None
