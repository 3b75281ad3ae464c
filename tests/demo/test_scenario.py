"""The demo's scenario and how its progress is shown."""

from __future__ import annotations

import io
from collections import Counter
from typing import get_args

import pytest
from rich.console import Console

from tasks.events.event import Event, Rejection, parse
from tasks.events.event_type import EventTypes
from worker.demo.progress import Look, Silence, view
from worker.demo.scenario import Entry, draw_scenario
from worker.simulator.faults import GroupFault
from worker.simulator.groups import Groups

LOOK = Look(1.0, 4, 3, 1, {"queued": 2, "closed": 1, "failed": 0}, 2, 7, shut="throttled")


def test_the_same_seed_plays_the_same() -> None:
    """A scenario depends on nothing but its size and its seed."""
    assert draw_scenario(80, 3) == draw_scenario(80, 3)
    assert draw_scenario(80, 3).entries != draw_scenario(80, 4).entries


@pytest.mark.parametrize("groups", [20, 300, 5000])
@pytest.mark.parametrize("seed", range(3))
def test_every_kind_appears_and_403_stays_rare(groups: int, seed: int) -> None:
    """Every fault of a group appears, most groups have none, and fewer than five are forbidden."""
    scenario = draw_scenario(groups, seed)
    kinds = Counter(scenario.groups.values())
    assert kinds.keys() == {None, *get_args(GroupFault)}
    assert kinds[None] > groups * 0.6
    assert kinds["forbidden"] < 5


def test_what_is_published_names_every_group_and_some_garbage() -> None:
    """Every group has an event, some two, some a bare one; exactly the garbage cannot be parsed."""
    scenario = draw_scenario(300, 1)
    parsed = [_parsed(entry, number) for number, entry in enumerate(scenario.entries)]
    events = [event for event in parsed if not isinstance(event, Rejection)]
    assert len(parsed) - len(events) == scenario.garbage > 0
    assert {event.reference for event in events} == scenario.groups.keys()
    assert len(events) > 300 > len({(event.source, event.event_id) for event in events if event.source != "stream"})


def test_no_garbage_is_the_same_twice() -> None:
    """Identical bytes are kept once, so that the demo could not tell a lost entry from a repeated one."""
    scenario = draw_scenario(3000, 1)
    garbage = [
        str(entry) for number, entry in enumerate(scenario.entries) if isinstance(_parsed(entry, number), Rejection)
    ]
    assert len(set(garbage)) == len(garbage) == scenario.garbage == 30


@pytest.mark.parametrize("groups", [1, 2, 19])
def test_a_small_scenario_is_possible(groups: int) -> None:
    """Few groups make a scenario as well, and all of them are put in place."""
    place = Groups()
    draw_scenario(groups, 0).place(place)
    assert len(place.records()) == groups


def _parsed(entry: Entry, number: int) -> Event | Rejection:
    return parse(str(entry.get("event", "")).encode(), source="stream", event_id=str(number), types=EventTypes())


def test_a_terminal_shows_a_table() -> None:
    """On a terminal every number stands in the table, with the reason why the fleet holds back."""
    text = io.StringIO()
    with view(Console(file=text, force_terminal=True, width=100)) as shown:
        shown.show(LOOK)
    assert all(word in text.getvalue() for word in ("on the stream", "queued", "calls", "throttled", "━"))


def test_a_pipe_shows_a_line_a_second_and_the_last_one() -> None:
    """In a pipe a look is a line, not more than one a second, but always the last; silence shows nothing."""
    text = io.StringIO()
    last = Look(1.6, 4, 0, 1, {"queued": 0, "closed": 4, "failed": 0}, 0, 9)
    with view(Console(file=text, width=20)) as shown:
        for look in (LOOK, LOOK, last):
            shown.show(look)
    Silence().show(last)
    assert text.getvalue().splitlines() == [
        "  1.0 s  on the stream 3, queued 2, closed 1, failed 0, rejected 1, calls 7",
        "  1.6 s  on the stream 0, queued 0, closed 4, failed 0, rejected 1, calls 9",
    ]
    assert last.ended == 4
