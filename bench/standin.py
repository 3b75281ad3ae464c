"""The simulated API as seen by the process that measures: start it, reset it, wait for its words, read its report."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from bench.environments import ROOT

_ANSWER_S = 30.0


@dataclass(frozen=True, slots=True)
class Close:
    """One group's close: when its first call arrived, and when it took effect (s, monotonic clock)."""

    reference: str
    arrived: float
    effective: float


@dataclass(frozen=True, slots=True)
class Report:
    """What the API saw. `calls` above `len(closes)` are calls that were made again."""

    calls: int
    connections: int
    closes: list[Close]


class StandIn:
    """The running simulated API."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._words: queue.SimpleQueue[str] = queue.SimpleQueue()
        assert process.stdout is not None
        self._ear = threading.Thread(target=self._listen, args=(process.stdout,), daemon=True)
        self._ear.start()
        self.url = self._words.get(timeout=_ANSWER_S)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def reset(self, groups: int, latency_s: float) -> None:
        """Forget everything; `groups` will be closed, each call takes `latency_s`."""
        self._tell(f"reset {groups} {latency_s}")
        self.heard("reset", _ANSWER_S)

    def heard(self, word: str, timeout_s: float) -> bool:
        """Wait until it says `word`, leaving out what it says before; False when it does not in time."""
        try:
            while self._words.get(timeout=timeout_s) != word:
                pass
        except queue.Empty:
            return False
        return True

    def report(self) -> Report:
        """What has happened since the reset."""
        path = self._folder / "api.json"
        self._tell(f"report {path}")
        if not self.heard("report", _ANSWER_S):
            raise TimeoutError("the simulated API does not report")
        raw = json.loads(path.read_text())
        closes = [Close(ref, arrived, effective) for ref, (arrived, effective) in raw["closes"].items()]
        return Report(raw["calls"], raw["connections"], closes)

    def stop(self) -> None:
        """End the process: its end closes the pipe that the listening thread reads."""
        assert self._process.stdin is not None
        self._process.kill()
        self._process.wait(10)
        self._ear.join(10)
        self._process.stdin.close()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()

    def _listen(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self._words.put(line.strip())


@contextmanager
def stand_in(folder: Path) -> Iterator[StandIn]:
    """Start the API; it is stopped whatever happens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.api"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        api = StandIn(process, folder)
    except queue.Empty:
        process.kill()
        raise
    try:
        yield api
    finally:
        api.stop()
