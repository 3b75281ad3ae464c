"""Reads the query of a request: conditions on closures, pages, times. An unknown field is refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from tasks.closure import Reason, State
from tasks.ledger.catalogue import Cursor
from worker.operations.moment import Moment
from worker.operations.selection import Filter
from worker.web.problems import Problem


def _is_time(text: str) -> str:
    Moment.parse(text)
    return text


Time = Annotated[str, AfterValidator(_is_time), Field(description="2h (ago), 03:00 (UTC), or ISO 8601.")]


class Strict(BaseModel):
    """A query without unknown fields. An empty one counts as absent: forms send those."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_blanks(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        kept = {name: _kept(value) for name, value in given.items()}
        return {name: value for name, value in kept.items() if value not in ("", [])}


class Conditions(Strict):
    """Conditions on closures. All that are given must hold; of several values of one field, any."""

    state: list[State] = []
    reason: list[Reason] = []
    status: list[Annotated[int, Field(ge=100, le=599)]] = []
    code: list[str] = []
    source: list[str] = []
    since: Time | None = None
    until: Time | None = None
    attempts_over: int | None = Field(None, ge=0)
    prefix: str | None = None
    text: str | None = None
    cursor: str | None = Field(None, description="`next` of the page before.")

    def filter(self) -> Filter:
        """Return the filter that operations take."""
        since, until = (Moment.parse(text) if text else None for text in (self.since, self.until))
        return Filter(
            tuple(self.state), tuple(self.reason), tuple(map(str, self.status)), tuple(self.code), tuple(self.source),
            since, until, self.attempts_over, self.prefix, self.text,
        )  # fmt: skip

    def place(self) -> Cursor | None:
        """Return where to go on. Raises Problem when that is not a cursor."""
        try:
            return Cursor.parse(self.cursor) if self.cursor else None
        except ValueError as error:
            wrong = {"field": "cursor", "problem": str(error)}
            raise Problem("wrong-request", f"cursor: {error}", errors=[wrong]) from None


Limit = Annotated[int, Field(ge=1, le=500, description="At most so many.")]


class ListQuery(Conditions):
    """The query of a list of closures."""

    limit: Limit = 100
    order: Literal["newest", "oldest"] = "newest"


class GroupQuery(Conditions):
    """The query of counts."""

    by: Literal["reason", "source", "code"]


class PageQuery(Strict):
    """The query of a page of something that has ids."""

    limit: Limit = 100
    cursor: str | None = Field(None, pattern=r"^[0-9]{1,15}-[0-9]{1,15}$", description="`next` of the page before.")


class AuditQuery(PageQuery):
    """The query of the audit."""

    by: str | None = None
    action: str | None = None
    since: Time | None = None


def _kept(value: Any) -> Any:
    return [one for one in value if one != ""] if isinstance(value, list) else value
