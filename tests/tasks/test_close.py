"""The Celery task: what a message holds reaches the pool, what is not taken stays, and what breaks is put aside."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Reject

from tasks.celery_task import register
from tasks.errors import NotTaken
from tasks.task_message import TASK_NAME, Aside, TaskMessage


def task(take: Callable[[Any, str], None]) -> Any:
    """The task, with this take."""
    return register(Celery(set_as_current=False), take)


def test_references_are_taken() -> None:
    """A list of references is taken as it is, with the task's id."""
    taken: list[Any] = []
    close_groups = task(lambda batch, origin: taken.append((batch, origin)))
    assert close_groups.name == TASK_NAME
    close_groups.apply(args=(["sg_1"],), task_id="t-1").get()
    assert taken == [(["sg_1"], "t-1")]


def test_many_references_are_taken_in_batches() -> None:
    """However many references a message names, no step of the store's has more than a batch of them."""
    taken: list[Any] = []
    references = [f"sg_{number}" for number in range(1_001)]
    task(lambda batch, origin: taken.append(batch)).apply(args=(references,)).get()
    assert [len(batch) for batch in taken] == [500, 500, 1]
    assert [one for batch in taken for one in batch] == references


def test_what_is_put_aside_is_taken_after_the_references() -> None:
    """Bytes survive the way through the message, whatever they are."""
    taken: list[Any] = []
    aside = (Aside(b"\xff\x00{", "why"), Aside(b"", "nothing"))
    message = TaskMessage("t-1", ("sg_1",), aside)
    args, kwargs, _ = json.loads(message.body())
    task(lambda batch, origin: taken.append(batch)).apply(args=args, kwargs=kwargs).get()
    assert taken == [["sg_1"], list(aside)]


def test_everything_that_is_put_aside_is_handed_over_at_once() -> None:
    """However much was put aside of a message, it is kept in one step; where that breaks, each keeps its own bytes."""
    taken: list[Any] = []

    def take(batch: Any, origin: str) -> None:
        taken.append(batch)
        if len(taken) == 1:
            raise LookupError("a defect")

    aside = tuple(Aside(b"%d" % number, "why") for number in range(100))
    task(take).apply(args=TaskMessage("t-1", (), aside).arguments()).get()
    first, second = taken
    assert first == list(aside)
    assert [one.body for one in second] == [one.body for one in aside]
    assert all("LookupError: a defect" in one.problem for one in second)


def test_not_taken() -> None:
    """A batch that cannot be taken now goes back to the queue."""

    def take(batch: Any, origin: str) -> None:
        raise NotTaken("stopping")

    with pytest.raises(Reject) as rejected:
        task(take).run(["sg_1"])
    assert "requeue=True" in repr(rejected.value)


@pytest.mark.parametrize("error", [RuntimeError("x"), RecursionError(), MemoryError(), KeyError("x"), AssertionError()])
def test_what_cannot_be_taken_is_put_aside(error: Exception) -> None:
    """Whatever goes wrong with a batch, its references are kept as rejected, and the next batch is taken."""
    taken: list[Any] = []

    def take(batch: Any, origin: str) -> None:
        if batch == ["sg_1"]:
            raise error
        taken.append(batch)

    close_groups = task(take)
    close_groups.apply(args=(["sg_1"],)).get()
    close_groups.apply(args=(["sg_2"],)).get()
    [aside], last = taken
    assert aside.body == b'["sg_1"]'
    assert type(error).__name__ in aside.problem
    assert last == ["sg_2"]


def test_what_cannot_be_put_aside_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written down the message stays in the queue, and does not come back at once."""
    pauses: list[float] = []
    monkeypatch.setattr(time, "sleep", pauses.append)

    def take(batch: Any, origin: str) -> None:
        raise RuntimeError("broken")

    with pytest.raises(Reject) as rejected:
        task(take).run(["sg_1"])
    assert "requeue=True" in repr(rejected.value)
    assert pauses == [1.0]


def test_a_broken_batch_stays_while_it_cannot_be_put_aside() -> None:
    """Where a batch breaks the taking, and the process stops before it is put aside, its message stays in the queue."""
    taken: list[Any] = []

    def take(batch: Any, origin: str) -> None:
        taken.append(batch)
        raise NotTaken("stopping") if isinstance(batch[0], Aside) else LookupError("a defect")

    with pytest.raises(Reject) as rejected:
        task(take).run(["sg_1"])
    assert "requeue=True" in repr(rejected.value)
    assert isinstance(taken[1][0], Aside)
