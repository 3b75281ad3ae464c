"""Bulk actions: an operator's action on many closures is kept in the store, so any process can carry it on.

First its items are frozen as a draft, a few at a time. The step that begins the action makes them its items at once, so
a crash before it leaves nothing but a draft, which is deleted later. Each later step takes some items, changes them and
counts them, all in one script. A crash between two steps leaves the action to whoever takes the next one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from typing import Any, NamedTuple

from tasks.errors import OlderWorkers
from tasks.ledger.bulk_action import BulkAction, BulkStart, read_action
from tasks.ledger.codec import NOT_OURS
from tasks.ledger.holds import HoldAnswer, read_answer
from tasks.ledger.scripts import Scripts, shown
from tasks.ledger.values import Unreadable

STEP = 200  # items in one step, which takes a few milliseconds of the store's time
LEASE_S = 6.0  # for so long after its last step an action is carried by nobody else
_ADDED, _AT_ONCE = 1000, 8
_PAGE = 100
_OLDER = "older workers: "
_OF_HOLDS = frozenset({"hold", "release"})


class BulkWord(StrEnum):
    """What a step, or a change of its state, found or did.

    The first five are the states of an action. UNKNOWN: there is no such action. ELSEWHERE: another process carries it.
    """

    RUNNING = "running"
    WAITING = "waiting"
    STOPPED = "stopped"
    DONE = "done"
    RECALLED = "recalled"
    UNKNOWN = "unknown"
    ELSEWHERE = "elsewhere"
    RESUMED = "resumed"
    LEFT = "left"


GOES_ON = frozenset({BulkWord.RUNNING, BulkWord.WAITING})


class BulkStep(NamedTuple):
    """What one step came to.

    `wait_s`: for how long to wait before the next one. `left`: how many items are left. `looked`: how many items this
    step has looked at. `answers`: what a hold or a release has come to for each of these. `waits_for`: `gate`,
    `canary`, or `attempts` of items that a recall has marked; "" when it does not wait. `to_ask`: the items for which
    the API is to be asked before they are done, each with what the step gets back with the answer.
    """

    word: BulkWord
    wait_s: float
    left: int
    looked: int
    answers: tuple[tuple[str, HoldAnswer], ...] = ()
    waits_for: str = ""
    to_ask: tuple[tuple[str, str], ...] = ()


class Said(NamedTuple):
    """What the API says of an item: `closed`, `locked`, `open`, or why that cannot be told.

    Of a rejected event that is replayed: `received`, or why it was not. `given`: what the step had given with the item
    in `to_ask`.
    """

    reference: str
    says: str
    given: str


class BulkActions:
    """Begins, carries on and reads bulk actions. Every method may raise StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def begin(
        self, start: BulkStart, items: Mapping[str, int], *, holder: str, audit: Mapping[str, Any]
    ) -> str | None:
        """Freeze the items and begin the action. Return its id, or None when the freezing took too long.

        `items`: by reference, when the closure had entered its state (ms since the epoch); 0: whatever its state.
        `holder`: who carries it, "" for nobody. `audit`: the fields of its entry in the audit. Raises OlderWorkers for
        a canary while workers of an older release are alive, because they do not count what becomes of its items.

        A crash before the last step begins nothing.
        """
        action_id = shown(await self._scripts.run("bulk_draft", "new"))
        await self._freeze(action_id, items)
        fields = _flat(start.as_fields())
        word = await self._scripts.run(
            "bulk_draft", "begin", action_id, holder, int(LEASE_S * 1000), len(fields), *fields, *_flat(audit)
        )
        return action_id if _checked(word) == "begun" else None

    async def _freeze(self, action_id: str, items: Mapping[str, int]) -> None:
        listed = [word for reference, at_ms in items.items() for word in (at_ms, reference)]
        chunks = (listed[start : start + 2 * _ADDED] for start in range(0, len(listed), 2 * _ADDED))
        # While the store takes one chunk in, this process writes the next.
        while some := list(islice(chunks, _AT_ONCE)):
            await asyncio.gather(*(self._scripts.run("bulk_draft", "add", action_id, *chunk) for chunk in some))

    async def step(
        self, action_id: str, verb: str, *, holder: str, most: int = STEP, said: Sequence[Said] = ()
    ) -> BulkStep:
        """Do up to `most` of the next items, as far as pace, canary and gate allow. `holder`: who carries the action.

        `verb`: the action's. The action is this holder's from now on until the lease ends. While it is another's,
        nothing is done. `said`: what the API says of items for which it was to be asked; a crash before this leaves
        them to be asked for again. Raises OlderWorkers for a hold, and does nothing, while workers of an older release
        are alive.
        """
        carried = (action_id, holder, int(LEASE_S * 1000), most)
        if verb not in _OF_HOLDS:
            return _step(await self._scripts.run("bulk_step", *carried, *(word for one in said for word in one)))
        found = await self._scripts.run("hold", verb, "", "", "", *carried)
        if found[0][0] == b"older workers":
            raise OlderWorkers(shown(found[0][1]).split(", "))
        return _step(*found)

    async def stop(self, action_id: str, because: str, *, audit: Mapping[str, Any] | None = None) -> BulkWord:
        """Stop an action that goes on. Nobody carries it on until it is resumed. Returns STOPPED, or its state.

        `because`: why, in words. `audit`: the fields of this step's entry in the audit.
        """
        return BulkWord(shown(await self._scripts.run("bulk_state", "stop", action_id, because, "", "", *_flat(audit))))

    async def resume(self, action_id: str, *, holder: str, audit: Mapping[str, Any]) -> BulkWord:
        """Have a stopped action go on. Returns RESUMED, or the state that it is in. `holder`: as in `begin`."""
        lease_ms = int(LEASE_S * 1000)
        word = await self._scripts.run("bulk_state", "resume", action_id, holder, lease_ms, "", *_flat(audit))
        return BulkWord(shown(word))

    async def leave(self, action_id: str, *, holder: str) -> None:
        """Carry the action on no more, so that another process takes it at once."""
        await self._scripts.run("bulk_state", "leave", action_id, holder, "", "")

    async def recall(self, action_id: str, *, holder: str, audit: Mapping[str, Any]) -> str | BulkWord:
        """End an action, and begin one that takes back what it has changed. Return that one's id, or the state it has.

        Only re-queues and discards can be recalled, once. `holder`: as in `begin`. `audit`: the fields of the entry in
        the audit. Raises OlderWorkers while workers of an older release are alive that do not tell what they have
        called.
        """
        recall_id = shown(await self._scripts.run("bulk_draft", "new"))
        lease_ms = int(LEASE_S * 1000)
        word = await self._scripts.run("bulk_state", "recall", action_id, recall_id, lease_ms, holder, *_flat(audit))
        found = _checked(word)
        return recall_id if found == "recalling" else BulkWord(found)

    async def free(self) -> list[str]:
        """Return the ids of the actions that go on and that nobody carries."""
        return [shown(action_id) for action_id in await self._scripts.run("bulk_read", "free")]

    async def owner(self, reference: str) -> tuple[str, str] | None:
        """Return the id and the verb of the first open action that has this closure among its items, None without."""
        found = await self._scripts.run("bulk_read", "owner", reference)
        return (shown(found[0]), shown(found[1])) if found else None

    async def read(self, action_id: str) -> BulkAction | Unreadable | None:
        """Return an action; None when there is none with this id."""
        [row] = await self._scripts.run("bulk_read", "named", action_id)
        return read_action(row) if row[1:] else None

    async def newest(self, limit: int) -> AsyncIterator[BulkAction | Unreadable]:
        """Yield the last `limit` actions, newest first."""
        before = ""
        while limit > 0:
            rows = await self._scripts.run("bulk_read", "newest", min(limit, _PAGE), before)
            for row in rows:
                yield read_action(row) if row[1:] else Unreadable(shown(row[0]))
            if not rows:
                return
            limit, before = limit - len(rows), shown(rows[-1][0])

    async def reopened(self, action_id: str) -> list[str]:
        """Return the groups that a verify has found closed here and not at the API."""
        key, found, size = self._scripts.key(f"action:{action_id}:changed"), list[bytes](), -1
        while len(found) > size:
            size = len(found)
            found += await self._scripts.ask(self._scripts.redis.zrange(key, size, size + _ADDED - 1))
        return [shown(reference) for reference in found]

    async def not_done(self, action_id: str, limit: int) -> dict[str, str]:
        """Return the first `limit` items that were not done, each with why."""
        pipe = self._scripts.redis.pipeline(transaction=False)
        pipe.hget(self._scripts.key(f"action:{action_id}"), "skips")
        pipe.zrange(self._scripts.key(f"action:{action_id}:not"), 0, limit - 1, withscores=True)
        skips, items = await self._scripts.ask(pipe.execute())
        try:
            whys = [str(why) for why, _ in json.loads(skips or b"[]")]
        except NOT_OURS:  # another program wrote it
            return {}
        return {shown(reference): whys[int(place) - 1] for reference, place in items if 0 < place <= len(whys)}

    async def prune(self, *, keep_s: float, limit: int = 2000) -> int:
        """Delete actions that ended more than `keep_s` seconds ago, and old drafts. Return how much was deleted.

        `limit`: the most items to delete of each kind. A crash leaves the rest to the next step of any worker.
        """
        gone: int = await self._scripts.run("bulk_prune", int(keep_s * 1000), limit)
        return gone


def _step(stepped: list[Any], rows: Sequence[Any] = ()) -> BulkStep:
    word, wait_ms, left, looked, waits_for, *more = stepped
    asked = [shown(each) for each in more[0]] if more else []
    answers = tuple((shown(row[3]), read_answer(row)) for row in rows)
    to_ask = tuple(zip(asked[::2], asked[1::2], strict=True))
    return BulkStep(BulkWord(word.decode()), wait_ms / 1000, left, looked, answers, shown(waits_for), to_ask)


def _checked(word: bytes) -> str:
    text = shown(word)
    if text.startswith(_OLDER):
        raise OlderWorkers(text.removeprefix(_OLDER).split(", "))
    return text


def _flat(fields: Mapping[str, Any] | None) -> list[Any]:
    return [word for pair in (fields or {}).items() for word in pair]
