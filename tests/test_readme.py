"""The README tells the truth: its settings are the settings, its tour works, its links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.closure import Reason
from tests.support import free_port
from worker.cli.commands import COMMANDS
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


def tour() -> str:
    """The lines of the README's tour."""
    return README.partition("<!-- tour -->")[2].partition("```sh\n")[2].partition("```")[0]


@pytest.mark.long(but=["sh"])
@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_tour_works(tmp_path: Path, shell: str) -> None:
    """A shell runs the README's tour as it is printed, but for the port and the folder; nothing runs afterwards."""
    (tmp_path / ".venv").symlink_to(sys.prefix)  # what `make demo` makes
    lines = tour().replace("8083", str(free_port())).replace("/tmp/closer", str(tmp_path / "data"))
    outside = {name: value for name, value in os.environ.items() if not name.startswith("CLOSER_")}
    outside["PATH"] = os.pathsep.join(["/usr/local/bin", "/usr/bin", "/bin"])  # no `closer` but the tour's
    done = subprocess.run(
        [shell, "-e", "-c", lines], env=outside, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    for words in ("every CLOSER_ variable is known", "Published 1 event", "closed", "Simulation over: "):
        assert words in done.stdout
    assert "wrong:" not in done.stdout
    assert [path.name for path in (tmp_path / "data" / "workers").glob("*.json")] == []


def test_tour_can_be_pasted_into_any_shell() -> None:
    """There is nothing in it that zsh reads otherwise: no comment, no job number."""
    assert tour().count("\n") > 5
    assert not re.search(r"#|%\d|jobs", tour())


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
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
