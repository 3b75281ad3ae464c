"""The script that measures the form of the code finds what it is there to find."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

FIGURES: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[1] / ".ci" / "figures.py"))


def test_the_limits_hold() -> None:
    """No function or file is too long; there is no circle of imports, no mock of ours and no sleep that waits."""
    code, everything = (FIGURES["count"](FIGURES[name]) for name in ("CODE", "ALL"))
    assert len(code.functions) > 500
    assert list(FIGURES["problems"](code, everything)) == []


@pytest.mark.parametrize(
    ("graph", "circles"),
    [
        ({"a": {"b"}, "b": {"c"}}, []),
        ({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}}, []),
        ({"a": {"b"}, "b": {"a"}}, [["a", "b", "a"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, [["b", "c", "b"]]),
    ],
)
def test_circles(graph: dict[str, set[str]], circles: list[list[str]]) -> None:
    """A circle is found wherever it begins; a module that two others import is none."""
    assert FIGURES["cycles"](graph) == circles


def test_what_is_too_long_is_named() -> None:
    """A function over the limit is named with its file, its line and its length; its docstring does not count."""
    code = FIGURES["count"](FIGURES["CODE"])
    code.functions = {"worker/x.py:1 run": 41, "worker/x.py:50 rest": 40, **dict.fromkeys("abcdefgh", 5)}
    code.files = {"worker/x.py": 301}
    wrong = list(FIGURES["problems"](code, code))
    assert wrong[1:] == ["worker/x.py:1 run has 41 lines; 40 are allowed", "worker/x.py has 301 lines; 300 are allowed"]
