"""Says of a stored bulk action that it has begun, that it goes on without this terminal, or that it was stopped."""

from __future__ import annotations

from tasks.ledger.bulk_action import BulkAction, BulkState
from worker.cli.output import count, plain, say
from worker.operations.actions import anybody_works
from worker.operations.context import OperatorContext

_WAITS = {
    "canary": "The canary is out. The rest follows when all of it are closed; it stops at the first that fails.",
    "gate": "The gate is shut, so it waits, and goes on by itself when the gate opens. See: closer status",
    "attempts": (
        "Some groups are being attempted right now. They return if these make no call, also when this command is "
        "stopped. Waiting for them …"
    ),
}


def say_begun(action_id: str, verb: str, size: int, *, detach: bool, what: str = "group") -> None:
    """Say which action has begun, who carries it on, and how to stop it. One of no items has ended already."""
    if not size:
        return
    how = "the workers carry it on" if detach else "Ctrl-C stops it; without this terminal the workers carry it on"
    say(f"Action {action_id}: {verb} {count(size, what)}; {how}. To stop it: closer actions stop {action_id}")


def say_waits(waits_for: str) -> None:
    """Say what an action waits for."""
    say(_WAITS[waits_for])


async def say_goes_on(context: OperatorContext, action: BulkAction | None) -> None:
    """Say that the action goes on without this process, and who there is to carry it on."""
    if action is None:
        return
    if not await anybody_works(context):
        say("No worker is alive: it goes on when one is started (`closer worker`), or with `closer actions stop` and "
            f"`closer actions resume {action.id}` here.")  # fmt: skip
    say(f"It goes on by itself. See: closer actions show {action.id}")


def say_stopped(action: BulkAction) -> None:
    """Say why the action has stopped, and how it goes on."""
    if action.state is BulkState.RECALLED:
        say("It was recalled by somebody else. See: closer actions list")
        return
    say(plain(f"Stopped: {action.stopped_because}. {action.left:,} were not touched."))
    say(f"To go on: closer actions resume {action.id}")
