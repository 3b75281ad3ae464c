"""A program that puts closer's task into a chain, a chord or a link is told that nothing is called back."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery, chain

from tasks.task_message import TASK_NAME
from tests.end_to_end.hostile import Fleet
from tests.support import key_of, until

SENDS: dict[str, Callable[[Any, Any], object]] = {
    "chain": lambda close, notify: chain(close, notify).apply_async(),
    "chord": lambda close, notify: close.apply_async(chord=notify),  # as a chord sends each task of its header
    "callbacks": lambda close, notify: close.apply_async(link=notify),
    "errbacks": lambda close, notify: close.apply_async(link_error=notify),
}


@pytest.mark.parametrize("name", SENDS)
def test_what_is_to_follow_is_told(fleet: Fleet, name: str) -> None:
    """Nothing is closed or run: the group and what was to follow are kept as rejected, with an error in the log."""
    reference, follower = f"sg_{uuid4().hex}", f"notify-{uuid4().hex}"
    with Celery("stranger", broker=fleet.url, set_as_current=False) as stranger:
        stranger.conf.broker_transport_options = {"global_keyprefix": key_of("")}
        close = stranger.signature(TASK_NAME, args=([reference],), immutable=True)
        SENDS[name](close, stranger.signature(follower, immutable=True))
    kept, problem = fleet.keeps(follower)
    assert reference.encode() in kept
    assert f"{name}: closer calls nothing back" in problem
    group, problem = fleet.keeps(reference)
    assert json.loads(group) == {"reference": reference}
    assert f"{name}: closer calls nothing back" in problem
    until(lambda: _told(fleet), "an error in the log; after the first one of a flood it counts the others")
    fleet.still_works()
    fleet.holds_nothing_back()
    assert not fleet.store.exists(key_of(f"c:{reference}"))


def _told(fleet: Fleet) -> bool:
    lines = fleet.worker.output.splitlines()
    return any(" ERROR " in line and "closer calls nothing back" in line for line in lines)
