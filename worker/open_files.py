"""Checks and raises the limit of open files. Each call in flight takes one."""

from __future__ import annotations

import resource
from contextlib import suppress

from tasks.errors import ConfigurationError

# For connections to the store and the broker, the loop, pipes and a log. A busy worker was seen to have 30.
_OTHERS = 64


def needed(concurrency: int) -> int:
    """Return how many open files a worker needs for `concurrency` calls in flight."""
    return concurrency + _OTHERS


def allowed() -> int | None:
    """Return the hard limit of open files of this process; None when it is unlimited."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return None if hard == resource.RLIM_INFINITY else hard


def problem(concurrency: int) -> str | None:
    """Return what is wrong when this process may not open as many files as it needs; None when it may."""
    most = allowed()
    if most is None or most >= needed(concurrency):
        return None
    return f"CLOSER_CONCURRENCY={concurrency} needs {needed(concurrency)} open files, and this process may have {most}"


def remedy(concurrency: int) -> str:
    """Return what an operator can do about the problem."""
    lower = max(1, (allowed() or 0) - _OTHERS)
    return (
        f"allow more (in the shell that starts it: ulimit -n {needed(concurrency)}; systemd: "
        f"LimitNOFILE={needed(concurrency)}; a container: --ulimit nofile={needed(concurrency)}), or set "
        f"CLOSER_CONCURRENCY={lower}"
    )


def raise_limit(concurrency: int) -> None:
    """Raise the soft limit to what the worker needs. Raises ConfigurationError when the hard limit is lower."""
    if wrong := problem(concurrency):
        raise ConfigurationError(f"{wrong}: {remedy(concurrency)}")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed(concurrency):
        with suppress(ValueError, OSError):  # macOS has limits that it does not report; calls then fail with the reason
            resource.setrlimit(resource.RLIMIT_NOFILE, (needed(concurrency), hard))
