"""Holds what a check of the set-up found: one line for each thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from worker.operations.step import Step


class Finding(StrEnum):
    """How serious a line is. WARNING: closer works, but an operator should know. WRONG: something does not work."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at.

    `name`: what it is. `message`: what was found. `remedy`, `step`: what to do; None if there is nothing to do.
    """

    name: str
    finding: Finding
    message: str
    remedy: str | None = None
    step: Step | None = None
