"""The advice: complete, plain, and the same in the documentation."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from tasks.closure import Reason
from tasks.ledger.gate import REASONS
from tasks.ledger.scripts import source
from worker.cli.commands import COMMANDS
from worker.cli.phrase import command
from worker.operations.advice import FAILURES, GATES, MENDED, Advice

PAGE = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()


def test_every_reason_has_its_advice() -> None:
    """Each reason for a failure has a meaning, a remedy and a first step."""
    assert FAILURES.keys() == set(Reason)


def test_every_state_of_the_gate_has_its_advice() -> None:
    """The gate's reasons are those that the ledger's scripts know."""
    known = re.search(r"local REASONS = \{(.*?)\}", source("read"))
    assert known is not None
    assert tuple(re.findall(r"'(\w+)'", known[1])) == REASONS
    assert GATES.keys() == set(REASONS)


@pytest.mark.parametrize("advice", [*FAILURES.values(), *GATES.values(), MENDED])
def test_advice_begins_with_a_command_that_exists(advice: Advice) -> None:
    """The command that the operator is told to type exists."""
    for step in filter(None, (advice.first, advice.last_resort)):
        assert shlex.split(command(step))[1] in COMMANDS


@pytest.mark.parametrize("advice", [*FAILURES.values(), *GATES.values(), MENDED])
def test_advice_is_a_value(advice: Advice) -> None:
    """As JSON it goes to any door, and comes back the same; no command line stands in its words."""
    assert Advice.from_json(json.loads(json.dumps(advice.as_json()))) == advice
    assert not re.search(rf"`|--\w|closer ({'|'.join(COMMANDS)}) ", advice.meaning + advice.remedy)


@pytest.mark.parametrize("name", [*Reason, *GATES])
def test_the_page_about_operating_has_a_paragraph_for_each(name: str) -> None:
    """docs/operating.md names every failure reason and every state of the gate in a heading."""
    assert re.search(rf"^### `{name}`", PAGE, re.MULTILINE)


def test_the_commands_in_the_page_exist() -> None:
    """No command in docs/operating.md is made up."""
    named = set(re.findall(r"^    closer ([a-z]+)|`closer ([a-z]+)", PAGE, re.MULTILINE))
    assert {word for pair in named for word in pair if word} <= COMMANDS.keys()
