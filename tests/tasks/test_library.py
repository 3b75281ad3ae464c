"""The library of the ledger's scripts: each script has the parts that it uses."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tasks.ledger import scripts

LIBRARY = Path(scripts.__file__).parent / "lua" / "lib"
DEFINED = re.compile(r"^function (\w+\.\w+)\(", re.MULTILINE)
# A name with a dot, but not within a comment or a text. S is the short name of `stepping`.
USED = re.compile(r"(?<![\w.'])\w+\.\w+(?=\()")
FUNCTIONS = {
    name.replace("S.", "stepping."): f"lib/{path.name}"
    for path in LIBRARY.glob("*.lua")
    for name in DEFINED.findall(path.read_text("utf-8"))
}


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_has_each_function_that_it_calls(name: str) -> None:
    """luacheck finds a name that is missing; this finds a function of one of the library's tables."""
    pieces = scripts.pieces(name)
    code = re.sub(r"--.*", "", "\n".join(text for _, text in pieces)).replace("S.", "stepping.")
    called = {FUNCTIONS[one] for one in USED.findall(code) if one in FUNCTIONS}
    assert called <= {file for file, _ in pieces}


@pytest.mark.parametrize("name", scripts.names())
def test_a_script_that_closes_groups_tells_of_cancel_events_that_came_too_late(name: str) -> None:
    """`close` in record.lua calls a function of cancel.lua, which such a script must have."""
    files = [(file, re.sub(r"--.*", "", text)) for file, text in scripts.pieces(name)]
    closes = any(re.search(r"(?<![\w.])close\(", text) for file, text in files if file != "lib/record.lua")
    assert not closes or "lib/cancel.lua" in dict(files)


def test_the_library_has_functions_in_tables() -> None:
    """Otherwise the test above would find nothing."""
    assert {FUNCTIONS["stepping.run"], FUNCTIONS["bulk.follow"]} == {"lib/stepping.lua", "lib/bulk.lua"}
