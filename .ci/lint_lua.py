"""Runs luacheck on the ledger's scripts, each as the store gets it: the library, then its own lines.

A name of the library is reported as unused only when no script that has its part uses it. It needs `luacheck`,
which is the package lua-check in Debian.
Exit codes: 0 nothing found, 1 something found, 2 luacheck is not installed or did not run.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tasks.ledger.scripts import names, pieces  # noqa: E402  (the project need not be installed)

_CONFIG = str(ROOT / ".luacheckrc")
_OPTIONS = ("--std", "min+redis", "--no-color", "--codes", "--formatter", "plain", "--config", _CONFIG)
_FOUND = re.compile(r"stdin:(?P<line>\d+):\d+: \((?P<code>\w+)\) (?P<text>.*)")
_UNUSED = ("W211", "W221", "W241")  # https://luacheck.readthedocs.io/en/stable/warnings.html
_LIMIT_S = 60
_SHOWN = "tasks/ledger/lua/"
_DID_NOT_RUN = 3  # luacheck ends with 1 for warnings, 2 for errors in the script, more where it could not look at it


def main() -> int:
    """Check every script and print what is found as `file:line: text`."""
    if not shutil.which("luacheck"):
        print("luacheck is not installed; on Debian and Ubuntu: apt-get install lua-check", file=sys.stderr)
        return 2
    scripts = names()
    try:
        seen = Counter(found for name in scripts for found in set(check(pieces(name))))
        having = Counter(file for name in scripts for file, _ in pieces(name))
    except LuacheckFailed as error:
        print(error, file=sys.stderr)
        return 2
    wrong = sorted(text for (text, code), times in seen.items() if code not in _UNUSED or times == having[_file(text)])
    print("\n".join(wrong) or f"luacheck: {len(scripts)} scripts, nothing found")
    return 1 if wrong else 0


def _file(text: str) -> str:
    """The file that a line of `check` names, as `pieces` names it."""
    return text.removeprefix(_SHOWN).partition(":")[0]


def check(parts: Iterable[tuple[str, str]], *options: str) -> Iterator[tuple[str, str]]:
    """What luacheck finds in one script: a line that names the file, and the warning's code.

    `parts`: the script's files, each its name and its text, in the order in which the store gets them.
    Raises LuacheckFailed when luacheck did not look at the script.
    """
    lines = [(file, number, text) for file, body in parts for number, text in enumerate(body.split("\n"), 1)]
    for found in map(_FOUND.match, _luacheck("\n".join(text for _, _, text in lines), *options).splitlines()):
        if found:
            file, number, _ = lines[int(found["line"]) - 1]
            # A script's own unused name is found once, in one script; here it counts as if all had it.
            code = found["code"] if file.startswith("lib/") else "own"
            yield f"{_SHOWN}{file}:{number}: {found['text']} ({found['code']})", code


def _luacheck(source: str, *options: str) -> str:
    command = ["luacheck", *_OPTIONS, *options, "-"]
    ran = subprocess.run(command, input=source, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if not 0 <= ran.returncode < _DID_NOT_RUN:
        said = (ran.stderr or ran.stdout).strip()
        raise LuacheckFailed(f"luacheck did not run (exit code {ran.returncode}), so nothing was checked:\n{said}")
    return ran.stdout


class LuacheckFailed(Exception):
    """luacheck did not look at the script: its configuration is wrong, or it broke."""


if __name__ == "__main__":
    sys.exit(main())
