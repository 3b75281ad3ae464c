"""Says in words how the workers are. It imports nothing that is slow, because `closer health` runs for every probe."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import assert_never

from worker.process.liveness import Alive, Dead, Deaf, KeyRefused, NotBegun, NoWorker, Silent, Unready


def in_words(found: Alive | Dead | Unready, data_dir: Path) -> str:
    """Return one line: how the workers are, and what to do about it. `data_dir`: where their signs were looked for."""
    place = os.fsencode(data_dir).decode("utf-8", "backslashreplace")  # whatever the locale makes of it
    match found:
        case Alive(workers, troubles):
            return f"{workers} live" + (f", waiting: {'; '.join(troubles)}" if troubles else "")
        case NoWorker():
            return f"no worker runs here with CLOSER_DATA_DIR={shlex.quote(place)}; start one with `closer worker`"
        case Silent(pid, age_s):
            return f"worker {pid} has given no sign of life for {age_s:.0f} s; restart it"
        case Deaf(pid):
            return f"worker {pid} is connected and takes no messages; restart it"
        case NotBegun(pid):
            return f"worker {pid} lives, but has not begun; its log tells what it waits for"
        case KeyRefused(pid):
            return f"worker {pid} lives, but the API refuses its key; see `closer status`"
        case unexpected:
            assert_never(unexpected)
