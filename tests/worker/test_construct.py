"""The ledger and the client of the API are built from the settings in one file only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from worker import construct

WORKER = Path(construct.__file__).parent


def builders(name: str) -> set[str]:
    """The files of `worker` that call the class of this name."""
    return {
        str(path.relative_to(WORKER))
        for path in WORKER.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
    }


@pytest.mark.parametrize("name", ["Ledger", "SortedApi"])
def test_built_in_one_place(name: str) -> None:
    """Worker, commands, operations and demo get it from `worker/construct.py`, so none of them forgets a setting."""
    assert builders(name) == {"construct.py"}
