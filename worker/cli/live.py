"""Answers `closer health --live` by itself: a probe must not wait until click, pydantic and redis are imported."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress

from worker.cli.health_words import in_words
from worker.data_dir import data_dir
from worker.observe.redaction import redact
from worker.process.liveness import Alive, liveness
from worker.process.signs import Signs, now_s

_OPTIONS = {"--live", "--json"}


def is_asked(arguments: Sequence[str]) -> bool:
    """Return whether the arguments of the command line ask for nothing else."""
    return arguments[:1] == ["health"] and _OPTIONS.issuperset(arguments[1:])


def answer(arguments: Sequence[str]) -> int:
    """Print the line that `closer health --live` prints, and return its exit code. Raises ConfigurationError."""
    signs = Signs(data_dir())
    found = liveness(signs.read(), now_s())
    good, line = isinstance(found, Alive), redact(in_words(found, signs.data_dir))
    text = json.dumps({"asked": "live", "ok": good, "message": line}) if "--json" in arguments else line
    with suppress(OSError):  # whoever reads no words reads the exit code
        os.write(1, f"{text}\n".encode("utf-8", "backslashreplace"))
    return 0 if good else 1
