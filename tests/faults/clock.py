"""Processes whose wall clock is wrong: a `sitecustomize` that shifts `time.time` before anything else is imported."""

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
def wall_clock(folder: Path, offset_s: int) -> Iterator[None]:
    """Processes started meanwhile have a wall clock that is off by that many seconds."""
    place = folder / f"clock{offset_s}"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(_SHIFT.format(offset_s=offset_s))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = f"{place}:{before or ''}".rstrip(":")
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
