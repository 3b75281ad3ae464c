"""Turns errors of operations and of the framework into problems, as the command line turns them into words."""

from __future__ import annotations

from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from tasks.errors import CloserError, LedgerBroken, NewerLedger, StoreUnavailable
from worker.observe.redaction import redact
from worker.operations.refusal import Refused, Rule
from worker.web.problems import RETRY_AFTER_S, Problem

_BY_STATUS = {
    404: ("not-found", "this is not an address of the console"),
    405: ("wrong-method", "this address does not take this method"),
}


def problem_of(error: Exception) -> Problem:
    """Return the problem that a client is told. What closer did not raise on purpose is a fault; the server logs it."""
    match error:
        case Problem():
            return error
        case Refused(rule=Rule.NOT_PERMITTED):
            return Problem("not-permitted", str(error))
        case Refused():
            return Problem("refused", str(error), rule=error.rule.value)
        case StoreUnavailable():
            return Problem("store-away", redact(error), headers={"Retry-After": str(RETRY_AFTER_S)})
        case LedgerBroken() | NewerLedger():
            return Problem("store-broken", redact(error))
        case CloserError():
            return Problem("refused", redact(error), rule="could_not")
        case _:
            return _of_framework(error)


def _of_framework(error: Exception) -> Problem:
    match error:
        case RequestValidationError():
            errors = [_named(detail) for detail in error.errors()]
            words = "; ".join(f"{one['field']}: {one['problem']}" for one in errors)
            return Problem("wrong-request", words, errors=errors)
        case HTTPException(__cause__=Problem() as cause):
            return cause  # it was raised while the framework read the body
        case HTTPException(status_code=400):
            return Problem("wrong-request", str(error.detail))
        case HTTPException(status_code=status) if status in _BY_STATUS:
            name, detail = _BY_STATUS[status]
            return Problem(name, detail, headers=dict(error.headers or {}))
        case _:
            return Problem("fault", "the console's log has the error")


def _named(detail: dict[str, object]) -> dict[str, str]:
    """Return which field is wrong, and how. The first part of its place says only query, path or body."""
    where = detail.get("loc") or ()
    names = [str(part) for part in where] if isinstance(where, tuple | list) else []
    return {"field": ".".join(names[1:]) or "body", "problem": str(detail.get("msg", ""))}
