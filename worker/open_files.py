"""Open files: each call in flight takes one, and the system allows a process only so many."""

from __future__ import annotations

import resource
from contextlib import suppress

from tasks.errors import ConfigurationError

# Beside the calls: the store's and the broker's connections, the loop, pipes, a log; a busy worker was seen to have 30.
_OTHERS = 64


def needed(concurrency: int) -> int:
    """How many a worker with so many calls in flight needs."""
    return concurrency + _OTHERS


def allowed() -> int | None:
    """How many this process may have, when it asks for as many as it can; None: there is no limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if hard == resource.RLIM_INFINITY else hard


def problem(concurrency: int) -> str | None:
    """What is wrong, if this process may not open as many as it needs."""
    most = allowed()
    if most is None or most >= needed(concurrency):
        return None
    return f"CLOSER_CONCURRENCY={concurrency} needs {needed(concurrency)} open files, and this process may have {most}"


def remedy(concurrency: int) -> str:
    """What to do about it."""
    lower = max(1, (allowed() or 0) - _OTHERS)
    return (
        f"allow more (in the shell that starts it: ulimit -n {needed(concurrency)}; systemd: "
        f"LimitNOFILE={needed(concurrency)}; a container: --ulimit nofile={needed(concurrency)}), or set "
        f"CLOSER_CONCURRENCY={lower}"
    )


def raise_limit(concurrency: int) -> None:
    """Let this process open as many as it needs. Raises ConfigurationError where the system does not allow it."""
    if wrong := problem(concurrency):
        raise ConfigurationError(f"{wrong}: {remedy(concurrency)}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed(concurrency):
        with suppress(ValueError, OSError):  # macOS has limits that it does not tell; then calls fail, and say why
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed(concurrency), hard))
