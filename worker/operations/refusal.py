"""Defines a refusal: what an operator asked for breaks a rule of safety. Each door says it in its own words."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from tasks.errors import CloserError


class Rule(StrEnum):
    """The rules that are guarded. Each refusal names the one that was broken."""

    NOT_PERMITTED = "not_permitted"
    NAMELESS = "nameless"
    WHY_NEEDED = "why_needed"
    EVERYTHING = "everything"
    MIXED = "mixed"
    NOT_A_REFERENCE = "not_a_reference"
    TOO_MANY = "too_many"
    COUNT_NOT_CONFIRMED = "count_not_confirmed"
    NOTHING_NAMED = "nothing_named"
    NOT_AN_ID = "not_an_id"
    TWO_STEPS = "two_steps"
    KIND_WITHOUT_SUBJECT = "kind_without_subject"
    CORRECTION_WITHOUT_IDS = "correction_without_ids"
    ONE_VALUE_FOR_SEVERAL = "one_value_for_several"
    SUBJECT_NOT_SHOWN = "subject_not_shown"
    SEVERAL_KINDS = "several_kinds"
    OLDER_LEDGER = "older_ledger"
    WRONG_LINES = "wrong_lines"
    TOO_RECENT = "too_recent"
    NOT_A_NAME = "not_a_name"
    BOUND_ROLE = "bound_role"


class Refused(CloserError):
    """Nothing was done. `rule`, `data`: why, as values for a door to phrase. The text says it for any door."""

    def __init__(self, rule: Rule, text: str, **data: Any) -> None:
        super().__init__(text)
        self.rule = rule
        self.data = data

    def as_json(self) -> dict[str, Any]:
        """Return the refusal as other programs see it."""
        return {"rule": self.rule.value, "message": str(self)} | self.data
