"""Errors are values; the log and the command line add the command that helps."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tasks.errors import CloserError, DamagedStore, ForeignApi, NewerLedger, StoreUnavailable
from worker.cli import phrase
from worker.cli.commands import COMMANDS
from worker.observe.error_words import in_words

ROOT = Path(__file__).parents[2]
COMMAND = re.compile(rf"\bcloser ({'|'.join(COMMANDS)})\b")
OURS, LEDGERS = "https://sandbox.sorted.com/pro", "https://api.sorted.com/pro"


def texts(path: Path) -> list[str]:
    """The strings of a module, without docstrings."""
    tree = ast.parse(path.read_text())
    told = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in told]
    return [node.value for node in constants if isinstance(node.value, str)]


@pytest.mark.parametrize(
    "path", [ROOT / "tasks/errors.py", *sorted((ROOT / "worker/operations").glob("*.py"))], ids=lambda path: path.stem
)
def test_no_command_below_the_doors(path: Path) -> None:
    """Errors and operations hold no command line, because another door could not use it."""
    assert [text for text in texts(path) if COMMAND.search(text)] == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ForeignApi(LEDGERS, OURS), f"CLOSER_API_BASE_URL={OURS} closer ledger move-api --why TEXT"),
        (ForeignApi(LEDGERS, OURS), f"Set CLOSER_API_BASE_URL={LEDGERS}"),
        (ForeignApi("half \ud800 a character", OURS), r"Set CLOSER_API_BASE_URL='half \ud800 a character'"),
        (NewerLedger(9, 1), "its workers are named by its `closer status`"),
        (DamagedStore("it is damaged"), "lose what follows: closer ledger repair"),
        (StoreUnavailable("the store is away"), "the store is away"),
    ],
)
def test_the_doors_tell_the_command(error: CloserError, words: str) -> None:
    """What is wrong stands in the error; the log and the command line tell the same remedy."""
    assert words in in_words(error)
    assert str(error) in in_words(error)
    assert phrase.error(error) == in_words(error)
