"""The Celery task `tasks.close_groups`: a message that says "look at these references now"."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject

TASK_NAME = "tasks.close_groups"


class NotTaken(Exception):
    """The batch could not be taken now; its message must stay in the queue."""


def register(app: Celery, take: Callable[[Any, str], None]) -> Task[Any, Any]:
    """Make `take(references, origin)` the body of the task; it raises NotTaken to keep the message.

    Whatever arguments a foreign program sends are passed on, to be put aside if they are no references:
    a wrong signature must not destroy what was meant to be closed.
    """

    @app.task(name=TASK_NAME, bind=True)
    def close_groups(self: Task[Any, Any], *args: Any, **kwargs: Any) -> None:
        try:
            take(_references(args, kwargs), self.request.id or "unknown")
        except NotTaken as error:
            raise Reject(str(error), requeue=True) from error

    return close_groups


def _references(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    if len(args) == 1 and not kwargs:
        return args[0]
    if not args and kwargs.keys() == {"references"}:
        return kwargs["references"]
    return {"args": list(args), "kwargs": kwargs}
