"""Judges by its signs whether a worker lives: whether its loop runs, and whether it takes the messages sent to it.

It imports nothing that is slow, because `closer health` runs for every probe.
"""

from __future__ import annotations

from dataclasses import dataclass

from worker.process.signs import Sign

SIGN_EVERY_S = 2.0
STALE_S = 20.0  # a sign that is older means that the loop is stuck
IDLE_S = 40.0  # how long messages may be on their way while this worker takes none


class Watch:
    """Notices that Celery's consumer is connected and takes no messages."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        """`idle_s`: how long messages may be on their way (s) while none is taken."""
        self._idle_s = idle_s
        self._wanted_since: float | None = None

    def stuck(self, *, now_s: float, on_their_way: int, taken_s: float, busy: bool) -> bool:
        """Return whether messages have been on their way for too long while none was taken and there was room.

        `now_s`: the time, and `taken_s`: when the last message was taken, both by the monotonic clock. `on_their_way`:
        how many references the fleet's messages name. `busy`: this worker has no room, so it rightly takes none.
        """
        if not on_their_way or busy:
            self._wanted_since = None
            return False
        if self._wanted_since is None:
            self._wanted_since = now_s
        return now_s - max(taken_s, self._wanted_since) > self._idle_s


@dataclass(frozen=True, slots=True)
class Alive:
    """Every worker lives. `troubles`: what keeps some of them from their work."""

    workers: int
    troubles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NoWorker:
    """No worker runs here."""


@dataclass(frozen=True, slots=True)
class Silent:
    """A worker has given no sign of life for `age_s` seconds: its loop is stuck."""

    pid: int
    age_s: float


@dataclass(frozen=True, slots=True)
class Deaf:
    """A worker is connected and takes no messages."""

    pid: int


@dataclass(frozen=True, slots=True)
class NotBegun:
    """A worker lives and waits: for the store, the broker, or an older release's workers to stop."""

    pid: int


@dataclass(frozen=True, slots=True)
class KeyRefused:
    """A worker lives, and the API refuses its key."""

    pid: int


Dead = NoWorker | Silent | Deaf
Unready = NotBegun | KeyRefused


def liveness(signs: list[Sign], now_s: float) -> Alive | Dead:
    """Return whether every worker lives, or what is wrong with the first that does not. `now_s`: as in the signs."""
    if not signs:
        return NoWorker()
    for sign in signs:
        if now_s - sign.at_s > STALE_S:
            return Silent(sign.pid, now_s - sign.at_s)
        if sign.stuck:
            return Deaf(sign.pid)
    return Alive(len(signs), tuple(sign.trouble for sign in signs if sign.trouble))


def unready(signs: list[Sign]) -> Unready | None:
    """Return why a worker that lives is not ready. None: all are."""
    for sign in signs:
        if not sign.introduced:
            return NotBegun(sign.pid)
        if sign.suspended:
            return KeyRefused(sign.pid)
    return None
