"""The Celery task: whatever a foreign program sends reaches the pool, and a batch that is not taken stays."""

from __future__ import annotations

from typing import Any

import pytest
from celery import Celery
from celery.exceptions import Reject

from tasks.close import TASK_NAME, NotTaken, register


def task(taken: list[Any]) -> Any:
    """The task, with a take that keeps what it was given."""
    return register(Celery(set_as_current=False), lambda references, origin: taken.append((references, origin)))


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((["sg_1"],), {}, ["sg_1"]),
        (("sg_1",), {}, "sg_1"),
        ((), {"references": ["sg_1"]}, ["sg_1"]),
        ((), {}, {"args": [], "kwargs": {}}),
        ((["a"], ["b"]), {}, {"args": [["a"], ["b"]], "kwargs": {}}),
        ((["a"],), {"lock": True}, {"args": [["a"]], "kwargs": {"lock": True}}),
        ((), {"refs": ["a"]}, {"args": [], "kwargs": {"refs": ["a"]}}),
    ],
)
def test_arguments(args: tuple[Any, ...], kwargs: dict[str, Any], expected: Any) -> None:
    """References come as the one argument, by place or by name; any other signature is passed on as it is."""
    taken: list[Any] = []
    close_groups = task(taken)
    assert close_groups.name == TASK_NAME
    close_groups.apply(args=args, kwargs=kwargs, task_id="t-1").get()
    assert taken == [(expected, "t-1")]


def test_not_taken() -> None:
    """A batch that cannot be taken now goes back to the queue."""

    def take(references: Any, origin: str) -> None:
        raise NotTaken("stopping")

    close_groups: Any = register(Celery(set_as_current=False), take)
    with pytest.raises(Reject) as rejected:
        close_groups.run(["sg_1"])
    assert "requeue=True" in repr(rejected.value)
