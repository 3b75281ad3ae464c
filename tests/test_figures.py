"""The script that measures the form of the code finds what it is there to find."""

from __future__ import annotations

import ast
import runpy
from dataclasses import replace
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
    """A function or a file over the limit is named, also in the tests; a function's docstring does not count."""
    code = FIGURES["count"](FIGURES["CODE"])
    code.functions = {"worker/x.py:1 run": 41, "worker/x.py:50 rest": 40, **dict.fromkeys("abcdefgh", 5)}
    code.files = {"worker/x.py": 300}
    everything = replace(code, files={**code.files, "tests/test_x.py": 301})
    wrong = list(FIGURES["problems"](code, everything))
    assert wrong[1:] == [
        "worker/x.py:1 run has 41 lines; 40 are allowed",
        "tests/test_x.py has 301 lines; 300 are allowed",
    ]


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("from unittest import mock", [1]),
        ("from unittest.mock import Mock", [1]),
        ("import unittest.mock", [1]),
        ("monkeypatch.setattr('worker.store.connect.connect', fake)", [1]),
        ("from worker.store import connect\nmonkeypatch.setattr(connect, 'connect', fake)", [2]),
        ("from worker.store import connect as c\npatch.setattr(c, 'connect', fake)", [2]),
        ("import tasks.verdict\nmonkeypatch.setattr(tasks.verdict, 'judge', fake)", [2]),
        ("from tasks.ledger.gate import GateOfLedger\nmonkeypatch.setattr(GateOfLedger, 'look', fake)", [2]),
        ("from worker.store import connect\nconnect.connect = fake", [2]),
        ("from tasks.ledger import scripts\npatch.setattr(scripts, 'LEDGER_VERSION', 7)", []),
        ("from worker.intake import stream as module\nmonkeypatch.setattr(module, '_TRIM_S', 0)", []),
        ("import os\nmonkeypatch.setattr(os, 'geteuid', lambda: 7)", []),
        ("from tests.tasks.book import Book\nBook(store).clock = fake", []),
    ],
)
def test_mocks(text: str, lines: list[int]) -> None:
    """A part of ours that is replaced is found however it is named; a constant and the system's parts are not ours."""
    assert list(FIGURES["mocks_in"](ast.parse(text))) == lines


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("import time\ntime.sleep(1)", [2]),
        ("from time import sleep\nsleep(1)", [2]),
        ("from asyncio import sleep as rest\nasync def f(): await rest(0.1)", [2]),
        ("import asyncio\nasync def f(): await asyncio.sleep(0)", []),
        ("clock.sleep(1)", []),
    ],
)
def test_sleeps(text: str, lines: list[int]) -> None:
    """A sleep is found however it was imported; one of 0 only lets others run."""
    assert list(FIGURES["sleeps_in"](ast.parse(text))) == lines
