"""The ledger's keys that `closer check` looks at are those that its scripts use."""

from __future__ import annotations

import re
from pathlib import Path

from worker.operations.ledger_keys import KINDS

LUA = Path(__file__).parents[2] / "tasks" / "lua"


def test_every_key_of_the_scripts_is_known() -> None:
    """A key that a script builds from the prefix is in the table of keys and kinds."""
    texts = [path.read_text("utf-8") for path in LUA.rglob("*.lua")]
    named = {name for text in texts for name in re.findall(r"P \.\. '([a-z_]+)'", text)}
    assert named <= set(KINDS)
    assert len(named) > 10
