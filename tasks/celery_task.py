"""Defines the Celery task `tasks.close_groups`: a message that asks to look at these references now.

A message is only a hint. If it is lost, the ledger's agenda names the groups again after ten seconds.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from celery import Celery, Task
from celery.exceptions import Reject

from tasks.errors import NotTaken
from tasks.outage_log import Seldom
from tasks.task_message import KEPT_BYTES, TASK_NAME, Aside, asides

__all__ = ["TASK_NAME", "register"]

_log = logging.getLogger("closer.messages")
_BATCH = 500  # references that are claimed in one step; a message may name more
_PAUSE_S = 1.0  # before a message that can be neither taken nor put aside goes back to the queue
_SAY_AGAIN_S = 10.0


def register(app: Celery, hand_over: Callable[[Any, str], None]) -> Task[Any, Any]:
    """Register the task with `app`, and make `hand_over(batch, origin)` its body.

    A batch is a list of at most 500 references, or the list of all that was put aside of the message (`Aside`). Either
    is one step in the store. `origin` is the message's id. The task's arguments are those of `TaskMessage.arguments`,
    because every message is read and made anew before Celery sees it.

    `hand_over` raises NotTaken to put the message back into the queue. If it raises anything else, the batch is kept as
    rejected: for Celery a failed task is done, so the groups that it names would otherwise be lost.
    """
    said = Seldom(_SAY_AGAIN_S)

    @app.task(name=TASK_NAME, bind=True)
    def close_groups(self: Task[Any, Any], references: list[str], kept: Sequence[Any] = ()) -> None:
        origin = self.request.id or "unknown"
        batches: list[list[Any]] = [references[start : start + _BATCH] for start in range(0, len(references), _BATCH)]
        aside = asides(list(kept)) or []
        _say(aside, origin, said)
        try:
            for batch in [*batches, aside] if aside else batches:
                _hand_over(batch, origin, hand_over)
        except NotTaken as error:
            raise Reject(str(error), requeue=True) from error

    return close_groups


def _hand_over(batch: list[Any], origin: str, hand_over: Callable[[Any, str], None]) -> None:
    try:
        hand_over(batch, origin)
    except NotTaken:
        raise
    except Exception as error:
        _log.exception("a batch of task %s could not be taken; it is kept as rejected", origin)
        broken = f"task message: closer could not take it ({type(error).__name__}: {error})"
        _keep([Aside(body, broken[:1000]) for body in _bodies(batch)], origin, hand_over)


def _keep(aside: list[Aside], origin: str, hand_over: Callable[[Any, str], None]) -> None:
    """Keep a batch as rejected. If even that fails, wait a second and leave the message in the queue (NotTaken)."""
    try:
        hand_over(aside, origin)
    except NotTaken:
        raise
    except Exception as error:
        time.sleep(_PAUSE_S)
        raise NotTaken(f"it could not even be put aside ({error})") from error


def _bodies(batch: list[Any]) -> list[bytes]:
    """Return what is kept of a batch: its references as one, and what was put aside one by one."""
    aside = [one.body for one in batch if isinstance(one, Aside)]
    return aside or [json.dumps(batch).encode()[:KEPT_BYTES]]


def _say(aside: list[Aside], origin: str, said: Seldom) -> None:
    """Log that something was put aside, at most once in ten seconds, with the number of those that were not logged."""
    for one in aside:
        if (more := said.due()) is not None:
            _log.error(
                "task message %s was put aside: %s%s; look at it: closer rejected list",
                origin,
                one.problem,
                f" (and {more} others since the last such line)" if more else "",
            )
