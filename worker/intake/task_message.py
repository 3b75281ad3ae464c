"""The door for task messages of foreign programs: their groups are received, and everything else is kept as rejected.

A task message that closer has sent itself names groups that the ledger knows. It is claimed, and does not come here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tasks.events.batch import Element
from tasks.events.event import GroupComplete, Rejection, is_reference
from tasks.ledger.ledger import Ledger
from tasks.ledger.tally import Intake
from tasks.task_message import Aside, wrong_reference
from worker.intake.receive import receive_or_reject


class TaskMessageDoor:
    """Takes in what a foreign task message brings. Both methods may raise StoreUnavailable and LedgerBroken.

    Each returns only when the ledger has it, because the message may be its only trace. A message that comes again
    after a crash is received and counted once.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def receive(self, references: Sequence[str], origin: str) -> None:
        """Have the ledger receive these groups. One that it cannot receive is kept as rejected.

        `origin`: the message's id; its sender may have chosen any text.
        """
        name = _shown(origin)
        events = [GroupComplete(reference, "celery", name) for reference in references]
        elements = [Element(json.dumps({"reference": one.reference}).encode(), f"task {name}", one) for one in events]
        await self._keep(await receive_or_reject(self._ledger, elements, Intake.TASK))

    async def keep(self, batch: Any, origin: str) -> list[str]:
        """Keep as rejected, in one step, what is not a reference. Return the references without repeats.

        `batch`: what a message named, or the list of what was put aside of it (`Aside`). Identical bytes in it are kept
        once and counted by their places. `origin`: as in `receive`.
        """
        given = batch if isinstance(batch, list) else [batch]
        name = f"task {_shown(origin)}"
        await self._keep(
            [
                _rejected(value, index, f"{name}/{index}" if len(given) > 1 else name)
                for index, value in enumerate(given)
                if not is_reference(value)
            ]
        )
        return list(dict.fromkeys(filter(is_reference, given)))

    async def _keep(self, rejected: Sequence[Element]) -> None:
        """Keep these in one step. Another message may have the same id, because its sender has chosen it."""
        await self._ledger.dead_letters.keep(rejected, unique=False)


def _rejected(value: Any, index: int, identity: str) -> Element:
    """Return what is kept of a value that is not a reference.

    `tasks.task_message` has already put such a value aside. Any other one comes here only after a defect.
    """
    if isinstance(value, Aside):
        return Element(value.body, identity, Rejection((value.problem,)))
    return Element(json.dumps(value).encode(), identity, Rejection((wrong_reference(index),)))


def _shown(origin: str) -> str:
    return "".join(char if char.isprintable() else " " for char in origin)
