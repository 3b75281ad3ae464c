"""Each error becomes a problem of one kind; nothing of a secret gets into it."""

from __future__ import annotations

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from tasks.errors import CloserError, LedgerBroken, NewerLedger, StoreUnavailable
from tests.support import API_KEY
from worker.operations.refusal import Refused, Rule
from worker.operations.step import CouldNot
from worker.web.problems import Problem
from worker.web.query import Strict
from worker.web.translate import problem_of


def caused(cause: Exception) -> HTTPException:
    """What the framework raises when reading a body fails."""
    error = HTTPException(400, "There was an error parsing the body")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (Problem("too-slow", "x"), "too-slow"),
        (Refused(Rule.NOT_PERMITTED, "x"), "not-permitted"),
        (Refused(Rule.WHY_NEEDED, "x"), "refused"),
        (CouldNot("x"), "refused"),
        (CloserError("x"), "refused"),
        (StoreUnavailable("x"), "store-away"),
        (LedgerBroken("x"), "store-broken"),
        (NewerLedger(9, 1), "store-broken"),
        (RequestValidationError([{"loc": ("query", "limit"), "msg": "too large"}]), "wrong-request"),
        (RequestValidationError([{"loc": 7}]), "wrong-request"),
        (caused(Problem("too-large", "x")), "too-large"),
        (caused(ValueError("x")), "wrong-request"),
        (HTTPException(404), "not-found"),
        (HTTPException(405), "wrong-method"),
        (HTTPException(418), "fault"),
        (ZeroDivisionError("x"), "fault"),
    ],
)
def test_each_error(error: Exception, name: str) -> None:
    """The kind has its status."""
    assert problem_of(error).kind.name == name


def test_no_secret_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client of the store may quote its address in an error."""
    monkeypatch.setenv("CLOSER_REDIS_URL", f"redis://:{API_KEY}@store:6379/0")
    assert API_KEY not in str(problem_of(StoreUnavailable(f"no answer from :{API_KEY}@store")))


def test_a_query_that_is_no_table() -> None:
    """It is refused like a wrong field."""
    with pytest.raises(ValueError, match="Strict"):
        Strict.model_validate([])
