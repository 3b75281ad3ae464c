"""What SIGTERM and Ctrl-C do while a command is being imported: an exception in an import would be a traceback."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence

_NUMBERS = (signal.SIGTERM, signal.SIGINT)
_SERVICES = ("up", "worker", "console")


def hold(arguments: Sequence[str]) -> None:
    """Have these signals end the process at once, without a word. Nothing has been begun yet.

    `arguments`: of the command line. A worker ends as a success, as it does when it is stopped later. Any other command
    has not done what it was asked for, so the signal kills it.
    """
    for number in _NUMBERS:
        signal.signal(number, _end if _is_service(arguments) else signal.SIG_DFL)


def release(arguments: Sequence[str]) -> None:
    """The command is imported: from now on it hears of Ctrl-C itself. A worker sets its own handlers later."""
    if not _is_service(arguments):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_service(arguments: Sequence[str]) -> bool:
    return bool(arguments) and arguments[0] in _SERVICES


def _end(*_: object) -> None:
    os._exit(os.EX_OK)
