"""Finds keys of the ledger that another program has replaced by a key of another type.

Each script that needs such a key fails, before its first write.
"""

from __future__ import annotations

from dataclasses import dataclass

from tasks.closure import Reason, State
from worker.operations.context import OperatorContext

KINDS: dict[str, str] = {
    **dict.fromkeys(("agenda", "dispatched", "open", "waiting", "ask", "rejected_once", "seen_types"), "zset"),
    **dict.fromkeys(("cancels", "cancelled", "late"), "zset"),
    **dict.fromkeys(("actions", "actions:open", "actions:ended", "actions:drafts"), "zset"),
    **{state.value: "zset" for state in State},
    **{f"failed:{reason}": "zset" for reason in Reason},
    **dict.fromkeys(
        (
            "gate",
            "alerts",
            "tally",
            "marks",
            "workers",
            "holds",
            "inspection",
            "shared",
            "policy",
            "waiting_types",
            "told",
            "rejected_same",
            "rejected_times",
            "rejected_rate",
            "tokens",
            "tokens_used",
        ),
        "hash",
    ),
    **dict.fromkeys(("audit", "rejected", "notices"), "stream"),
    "reconsider": "set",
}


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """A key of the ledger's name that has another type. `kind`: the type it has. `needed`: the type it should have."""

    key: str
    kind: str
    needed: str

    @property
    def remedy(self) -> str:
        """What to do about it, with a command of the store's."""
        return (
            f"find out which program wrote it, and give closer a database of its own; "
            f"RENAME {self.key} {self.key}.foreign keeps it, and the workers go on by themselves"
        )


async def foreign_keys(context: OperatorContext) -> list[ForeignKey]:
    """Return the ledger's keys that have another type than they should.

    It is empty where the store does not answer the command that tells types. Raises StoreUnavailable.
    """
    kinds = await context.ledger.kinds(list(KINDS))
    if kinds is None:  # the store forbids the command TYPE, which workers do not need
        return []
    pairs = zip(KINDS.items(), kinds, strict=True)
    return [
        ForeignKey(context.key(name), kind, needed) for (name, needed), kind in pairs if kind not in ("none", needed)
    ]
