"""Faults inside a process: its wall clock is wrong, or a part of it breaks."""

from __future__ import annotations

import os
import shutil
import subprocess
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

# The offset is looked up at every call, so that the clock can jump in mid-run.
_JUMPS = """
import os, time
def offset_s():
    return int(os.readlink({link!r}))
real = time.time
time.time = lambda: real() + offset_s()
real_ns = time.time_ns
time.time_ns = lambda: real_ns() + offset_s() * 1_000_000_000
"""
# The same for a program that is not Python's.
_PRELOADED = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long offset_s(void) {
    char text[32];
    ssize_t size = readlink("%s", text, sizeof text - 1);
    if (size < 0) return 0;
    text[size] = 0;
    return atol(text);
}
int gettimeofday(struct timeval *now, void *zone) {
    int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
    int result = real(now, zone);
    now->tv_sec += offset_s();
    return result;
}
int clock_gettime(clockid_t clock, struct timespec *now) {
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += offset_s();
    return result;
}
"""
_COMPILE_S = 60.0
# What calls the API raises what nothing on the network does, for these references, until the cure is there.
_POISON = """
import aiohttp, os
real = aiohttp.ClientSession.request
def request(self, *arguments, **options):
    if options["url"].split("/")[-2] in {references!r} and not os.path.exists({cure!r}):
        raise RuntimeError("poison")
    return real(self, *arguments, **options)
aiohttp.ClientSession.request = request
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


class Clock:
    """A wall clock that can be set."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / "clock"
        self._folder.mkdir()
        self.set(0)

    def set(self, offset_s: int) -> None:
        """Let it be off by that many seconds, from now on."""
        fresh = self._folder / "fresh"
        fresh.symlink_to(str(offset_s))
        fresh.replace(self._folder / "offset")

    @contextmanager
    def worn(self) -> Iterator[None]:
        """Processes started meanwhile go by this clock."""
        with planted(self._folder, _JUMPS.format(link=str(self._folder / "offset"))):
            yield

    @contextmanager
    def preloaded(self) -> Iterator[None]:
        """Programs in C that are started meanwhile go by this clock. Raises AssertionError without a compiler."""
        compiler = shutil.which("cc")
        assert compiler, "a C compiler (cc) is needed, to give the store a clock that can be set"
        library = self._folder / "clock.so"
        command = [compiler, "-shared", "-fPIC", "-x", "c", "-", "-o", str(library), "-ldl"]
        code = _PRELOADED % (self._folder / "offset")
        subprocess.run(command, input=code, text=True, check=True, timeout=_COMPILE_S)
        os.environ["LD_PRELOAD"] = str(library)
        try:
            yield
        finally:
            del os.environ["LD_PRELOAD"]


@contextmanager
def poison(folder: Path, references: set[str], cure: Path) -> Iterator[None]:
    """Processes started meanwhile break in the middle of an attempt at one of these, until the file `cure` exists."""
    with planted(folder / "poison", _POISON.format(references=references, cure=str(cure))):
        yield
