"""What the README says of every command: it has an example, and it speaks JSON to programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tasks.closure import Reason
from tests.operations.conftest import Cli
from tests.operations.seed import Seed
from worker.cli.commands import cli as closer

README = (Path(__file__).parents[2] / "README.md").read_text()
WITHOUT_JSON = {"up", "worker", "console", "completion", "metrics"}  # they run for good, or print a script


def leaves(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Each command that does something, with its whole name."""
    if not isinstance(command, click.Group):
        yield name.strip(), command
        return
    context = click.Context(command)
    for each in command.list_commands(context):
        found = command.get_command(context, each)
        assert found is not None
        yield from leaves(found, f"{name} {each}")


COMMANDS = dict(leaves(closer))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_json_and_an_example(name: str) -> None:
    """All have `--json` but those that the README excepts; all have an example in their help."""
    options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert ("--json" in options) == (name not in WITHOUT_JSON)
    assert f"closer {name}" in (COMMANDS[name].help or "").partition("Example")[2]


def test_the_readme_names_the_commands_without_json() -> None:
    """It names exactly those."""
    sentences = [text for text in re.split(r"(?<=\.)\s", README) if "have `--json`" in text or "has `--json`" in text]
    assert [set(re.findall(r"`([a-z]+)`", text)) for text in sentences] == [WITHOUT_JSON]


@pytest.mark.parametrize(
    ("arguments", "keys"),
    [
        ("show sg_00000 --curl", {"curl"}),
        ("resume --why done", {"open", "reason"}),
        ("pause --why w", {"open", "reason"}),
        ("ledger move-api --why w", {"before", "now"}),
        ("requeue --state failed --dry-run", {"matched", "dry_run"}),
        ("discard sg_00000 --why w", {"matched", "discarded"}),
    ],
)
def test_one_document_on_stdout(cli: Cli, arguments: str, keys: set[str]) -> None:
    """With `--json` stdout holds one JSON document and nothing else, whatever other options are given."""
    cli.sow([Seed("sg_00000", Reason.GONE, 410)])
    assert cli.json(*arguments.split()).keys() >= keys
