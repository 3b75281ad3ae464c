"""Names this process among all workers.

Host and process number are not enough: in containers every worker has the number 1, and several may have one host name.
It imports nothing that is slow, because `closer health` runs for every probe.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


@cache
def token() -> str:
    """Return six hex digits that this process has drawn. A later process with the same number draws others."""
    return os.urandom(3).hex()


def name() -> str:
    """Return the worker's name, as in `host-a:17:9f3c2b`."""
    return f"{os.uname().nodename}:{os.getpid()}:{token()}"


def machine() -> str:
    """Return what processes share that see each other's numbers: the boot, and the namespace of process numbers.

    Empty where the system does not tell, see namespaces(7) and random(4).
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def born(pid: int) -> str:
    """Return when a process began, in the kernel's ticks (field 22, see proc(5)). Empty where there is no /proc."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2]
    except OSError:
        return ""
    return after_name.split()[19]
