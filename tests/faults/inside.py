"""Processes that are not as they should be inside: their wall clock is wrong, or a part of them breaks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_SHIFT = """
import time
real = time.time
time.time = lambda: real() + {offset_s}
real_ns = time.time_ns
time.time_ns = lambda: real_ns() + {offset_s} * 1_000_000_000
"""


@contextmanager
def planted(folder: Path, code: str) -> Iterator[None]:
    """Processes started meanwhile run this code, a `sitecustomize`, before anything else is imported."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(code)
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{folder}:{before or ''}".rstrip(":")
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


@contextmanager
def wall_clock(folder: Path, offset_s: int) -> Iterator[None]:
    """Processes started meanwhile have a wall clock that is off by that many seconds."""
    with planted(folder / f"clock{offset_s}", _SHIFT.format(offset_s=offset_s)):
        yield
