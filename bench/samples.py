"""Stacks of a running process, as py-spy samples them from outside."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.environments import python_of

_REQUIREMENTS = Path(__file__).parent / "requirements-profile.txt"
_RATE = 500
_WRITE_S = 60.0
_THREAD = re.compile(r"thread \((\w+)\)")
_ERRORS = re.compile(r"Errors: (\d+)")
_FRAME = re.compile(r"(.*) \((.*?)(?::\d+)?\)")


class Frame(NamedTuple):
    """A function, and the file it is in."""

    name: str
    path: str


class Sample(NamedTuple):
    """A stack, its outermost frame first, how often it was seen, and the kernel's id of the thread it was seen in."""

    thread: int
    stack: tuple[Frame, ...]
    times: int


@dataclass(slots=True)
class Profile:
    """What was seen of a process: samples, how many failed, and each thread's CPU by the kernel's accounting (s)."""

    samples: list[Sample] = field(default_factory=list)
    failed: int = 0
    cpu_s: dict[int, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many samples there are."""
        return sum(sample.times for sample in self.samples)


def parse(line: str) -> Sample:
    """A line of py-spy's raw format: frames between semicolons, the thread first, then a blank and the count."""
    text, _, count = line.rpartition(" ")
    thread, *frames = text.split(";")
    if not (label := _THREAD.match(thread)):
        raise ValueError(f"not a stack of a thread: {line[:200]!r}")
    return Sample(int(label[1], 0), tuple(map(_frame, frames)), int(count))


def install() -> Path:
    """The sampler, in an environment of its own."""
    return Path(python_of(_REQUIREMENTS)).parent / "py-spy"


@contextmanager
def watching(pid: int, *, folder: Path, profile: Profile) -> Iterator[None]:
    """Sample the process; the profile is filled when the block ends. Raises RuntimeError when it cannot be sampled."""
    file = folder / "stacks.txt"
    file.unlink(missing_ok=True)
    before = _threads(pid)
    spy = subprocess.Popen(_command(pid, file), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        yield
        profile.cpu_s = {thread: cpu_s - before.get(thread, 0.0) for thread, cpu_s in _threads(pid).items()}
        profile.failed = _end(spy)
    finally:
        spy.kill()
        spy.communicate()
    profile.samples = [parse(line) for line in file.read_text().splitlines()]


def _command(pid: int, file: Path) -> list[str]:
    # Without --nonblocking the process is stopped for each sample: that halves its speed, and its waiting threads,
    # woken each time, are most of what is seen. With --gil what the kernel does for it (send, epoll) is not seen.
    look = ["--pid", str(pid), "--rate", str(_RATE), "--nonblocking", "--threads", "--full-filenames"]
    return [str(install()), "record", *look, "--format", "raw", "--output", str(file)]


def _end(spy: subprocess.Popen[str]) -> int:
    """Have it write what it has; how many samples failed."""
    spy.send_signal(signal.SIGINT)
    said, _ = spy.communicate(timeout=_WRITE_S)
    if spy.returncode:
        raise RuntimeError(
            f"py-spy could not look into the worker: {said[-500:].strip()}; it needs root, or on Linux "
            "the capability SYS_PTRACE, or 0 in /proc/sys/kernel/yama/ptrace_scope"
        )
    errors = _ERRORS.search(said)
    return int(errors[1]) if errors else 0


def _threads(pid: int) -> dict[int, float]:
    return {thread.id: thread.user_time + thread.system_time for thread in psutil.Process(pid).threads()}


def _frame(text: str) -> Frame:
    parts = _FRAME.fullmatch(text)
    return Frame(parts[1], parts[2]) if parts else Frame(text, "")
