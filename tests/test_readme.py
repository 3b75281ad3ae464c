"""The README tells the truth: its settings are the settings, its tour works, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tasks.closure import Reason
from tests.support import Process, free_port, run, until
from worker.cli.main import COMMANDS
from worker.operations.advice import FAILURES
from worker.settings import PREFIX, Settings

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def settings_table() -> str:
    """The table of settings, made from the settings."""
    rows = []
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        shown = "" if default is None else f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
        rows.append(f"| `{PREFIX}{name.upper()}` | {shown or 'unset'} | {field.description} |")
    return "\n".join(rows).replace("`PydanticUndefined`", "`~/.local/share/closer`")


def test_settings_are_documented() -> None:
    """The table in the README names every setting with its default and meaning, as the code has them."""
    table = README.partition("<!-- settings -->")[2].partition("<!-- /settings -->")[0]
    assert table.strip().splitlines()[2:] == settings_table().splitlines()


def test_tour_works(tmp_path: Path) -> None:
    """The README's tour, line by line, with the ports and folders of this test: the group ends closed."""
    block = README.partition("<!-- tour -->")[2].partition("```sh\n")[2].partition("```")[0]
    commands = [re.sub(r"\s+#.*", "", line) for line in block.splitlines()]
    port = free_port()
    settings: dict[str, Any] = {"api_base_url": f"http://127.0.0.1:{port}/pro", "data_dir": tmp_path / "data"}
    assert commands[0].startswith("export CLOSER_API_KEY=any CLOSER_API_BASE_URL=http://127.0.0.1:8083/pro")
    simulate, up, *rest = [line.removeprefix("closer ").removesuffix(" &").split() for line in commands[1:]]
    with (
        Process(tmp_path, *[word.replace("8083", str(port)) for word in simulate]),
        Process(tmp_path, *up, **settings) as worker,
    ):
        until(lambda: run("health", "--ready", **settings).returncode == 0, "ready")
        outputs = [(words, run(*words, **settings)) for words in rest]
        assert [(words, done.stderr) for words, done in outputs if done.returncode] == []
        show = next(words for words in rest if words[0] == "show")
        until(lambda: '"state": "closed"' in run(*show, "--json", **settings).stdout, "closed")
        assert worker.stop() == 0, worker.output


@pytest.mark.parametrize("page", DOCS, ids=lambda page: page.name)
def test_links_and_commands(page: Path) -> None:
    """Every relative link leads to a file, and every `closer COMMAND` is a command."""
    text = page.read_text()
    missing = [link for link in re.findall(r"\]\(([^)#:]+)\)", text) if not (page.parent / link).exists()]
    assert missing == []
    assert set(re.findall(r"(?:^|`|\s{4})closer ([a-z]+)", text, re.MULTILINE)) <= set(COMMANDS)


def test_every_reason_has_advice() -> None:
    """Each failure reason is explained to operators, on the page and by `closer show`."""
    page = (ROOT / "docs" / "operating.md").read_text()
    assert [reason for reason in Reason if f"### `{reason.value}`" not in page or reason not in FAILURES] == []
