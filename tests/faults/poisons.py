"""Poisons: attempts at some groups break, or their records are damaged. No other group may suffer."""

from __future__ import annotations

import json
from itertools import pairwise

from tests.faults.inside import poison
from tests.faults.rig import Rig
from tests.support import count, key_of, run, until

_POISONED = 20
_DAMAGES = (b"", b"{", b"[1]", b'{"s":"queued"}', b"\xff\xfe")
_WRONG_TYPES: tuple[dict[str, object], ...] = ({"h": [1]}, {"d": "soon"}, {"x": "first"}, {"v": 7}, {"k": {}})


def broken_attempts(rig: Rig, tries: int = 3) -> None:
    """Attempts at some groups raise an error that no network raises. All others are closed, then these are cured.

    They are tried again, later and later, and the operator sees why.
    """
    poisoned = set(rig.references[:: rig.groups // _POISONED][:_POISONED])
    cure = rig.folder / "cure"
    with poison(rig.folder, poisoned, cure):
        worker = rig.start_worker()
    until(lambda: rig.closed() >= rig.groups - _POISONED, "all but the poisoned closed")
    until(lambda: all(len(rig.history(ref)) >= tries for ref in poisoned), "each poisoned one tried again")
    for reference in poisoned:
        _check_tries(rig, reference)
    _check_seen(rig, min(poisoned), "RuntimeError: poison")
    if f"attempt on {min(poisoned)} broke" not in worker.output:
        raise AssertionError("the log does not say that attempts broke")
    cure.touch()


def damaged_records(rig: Rig) -> None:
    """The records of some groups are damaged in the store under load, and the record of a closed group, too."""
    worker = rig.start_worker(concurrency=8)
    rig.wait_closed(0.2)
    [closed] = [ref.decode() for ref in rig.store.zrange(key_of("closed"), 0, 0)]  # type: ignore[union-attr]
    for number, reference in enumerate([closed, *rig.references[-_POISONED:]]):
        _damage(rig, reference, number)
    if count(rig.store, "closed") > rig.groups - _POISONED:
        raise AssertionError("the damaged ones were closed before: this row has proved nothing")
    _check_seen(rig, closed, "damaged record")
    rig.wait_closed(1.0)
    until(lambda: "damaged records of" in worker.output, "a line about them in the log")


def _damage(rig: Rig, reference: str, number: int) -> None:
    key = key_of(f"c:{reference}")
    ways = len(_DAMAGES) + len(_WRONG_TYPES)
    if number % ways < len(_DAMAGES):
        rig.store.set(key, _DAMAGES[number % ways])
        return
    record = json.loads(rig.store.get(key) or b"{}")
    rig.store.set(key, json.dumps(record | _WRONG_TYPES[number % ways - len(_DAMAGES)]))


def _check_tries(rig: Rig, reference: str) -> None:
    """Check that each attempt failed because of the poison, and that a pause lay between two attempts."""
    history = rig.history(reference)
    if wrong := [attempt for attempt in history if "RuntimeError: poison" not in attempt.detail]:
        raise AssertionError(f"{reference} was tried and not poisoned: {wrong[0]}")
    pauses = [(after.at_ms - before.at_ms) / 1000 for before, after in pairwise(history)]
    if min(pauses) < 0.5:
        raise AssertionError(f"{reference} was tried again after {min(pauses):.2f} s, sooner than the shortest pause")


def _check_seen(rig: Rig, reference: str, words: str) -> None:
    """Check that operators' commands work, and that the group's story has these words."""
    shown = {}
    for command in (("status",), ("list", "--limit", "100000"), ("list", "--text", "no such"), ("show", reference)):
        said = run(*command, "--json", redis_url=rig.url)
        if said.returncode:
            raise AssertionError(f"closer {' '.join(command)}: {said.stderr}")
        shown[command[0]] = said.stdout
    if words not in shown["show"]:
        raise AssertionError(f"the story of {reference} does not say {words!r}: {shown['show']}")
