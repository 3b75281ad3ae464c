"""Errors in words, for the log and the command line: what is wrong, and the command that helps."""

from __future__ import annotations

from tasks.errors import DamagedStore, ForeignApi, NewerLedger


def in_words(error: BaseException) -> str:
    """What is wrong; on a line of its own what to do next, where a command or a variable helps."""
    match error:
        case ForeignApi(ledgers=ledgers, ours=ours):
            return (
                f"{error}.\nSet CLOSER_API_BASE_URL={ledgers}, or give {ours} a store of its own. If the API itself "
                f"has moved, stop all workers, then: CLOSER_API_BASE_URL={ours} closer ledger move-api --why TEXT"
            )
        case NewerLedger():
            return f"{error}.\nUse the newer closer; its workers are named by its `closer status`"
        case DamagedStore():
            return (
                f"{error}.\nPut a copy of the folder from before the damage in its place; or cut the file off there, "
                "and lose what follows: closer ledger repair"
            )
        case _:
            return str(error)
