"""Puts this process into Python's UTF-8 mode, whatever the locale: Python is always in it from 3.15 on (PEP 686).

In another locale an operator's `--why "Größe"` would stand in the audit as other letters, and `→` could not be printed.
"""

from __future__ import annotations

import os
import sys


def ensure() -> None:
    """Start this program again, in the same process, where arguments and files are not read as UTF-8."""
    if sys.getfilesystemencoding() != "utf-8" and sys.executable:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606
