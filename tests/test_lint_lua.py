"""The check of the ledger's scripts finds what is wrong in them, and tells when it did not look."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path
from typing import Any

import pytest

from tasks.ledger.scripts import names

ROOT = Path(__file__).parents[1]
LINT: dict[str, Any] = runpy.run_path(str(ROOT / ".ci" / "lint_lua.py"))

pytestmark = pytest.mark.skipif(shutil.which("luacheck") is None, reason="luacheck is not installed (lua-check)")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("return helper(KEYS[1])", []),
        ("return redis.call('GET', KEYS[1], ARGV[1])", []),
        ("\nreturn unknown(1)", ["own.lua:2: accessing undefined variable 'unknown' (W113)"]),
        ("unknown = 1", ["own.lua:1: setting non-standard global variable 'unknown' (W111)"]),
        ("local unused = 1", ["own.lua:1: unused variable 'unused' (W211)"]),
        ("local x =", ["own.lua:2: expected expression near <eof> (E011)"]),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(text: str, found: list[str]) -> None:
    """A script sees the library before it; what is wrong is told with the line of its own file."""
    library = ("lib/helper.lua", "local function helper(key)\n  return redis.call('GET', key)\nend\n")
    said = [line.removeprefix("tasks/ledger/lua/") for line, _ in LINT["check"]([library, ("own.lua", text + "\n")])]
    assert [line for line in said if not line.startswith("lib/")] == found


@pytest.mark.parametrize("options", [("--no-such-option",), ("--config", "/nowhere/.luacheckrc")])
def test_luacheck_that_does_not_run_is_not_taken_for_nothing_found(options: tuple[str, ...]) -> None:
    """A wrong option or configuration ends the check with what luacheck says."""
    with pytest.raises(LINT["LuacheckFailed"], match="nothing was checked"):
        list(LINT["check"]([("own.lua", "return 1\n")], *options))


def test_every_script_is_clean(capsys: pytest.CaptureFixture[str]) -> None:
    """All scripts of the ledger are checked, each with the library, and nothing is found."""
    assert LINT["main"]() == 0
    assert capsys.readouterr().out == f"luacheck: {len(names())} scripts, nothing found\n"
