"""The report: sections of tables in Markdown, with the day, the commit and the machine they come from."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from bench.environments import ROOT

_GIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Section:
    """One scenario's table, and what a reader must know to judge it."""

    title: str
    notes: Sequence[str]
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    picture: str = ""

    def __str__(self) -> str:
        lines = [f"## {self.title}", "", *self.notes, "", _row(self.header), _row(["---"] * len(self.header))]
        lines += [_row(row) for row in self.rows]
        if self.picture:
            lines += ["", f"![{self.title}]({self.picture})"]
        return "\n".join(lines) + "\n"


def document(sections: Sequence[Section], arguments: str) -> str:
    """The whole report."""
    head = [
        "# How fast closer is",
        "",
        f"Written by `python -m bench {arguments}` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {_commit()},",
        f"{_machine()}.",
        "Compare figures of one table with each other: every table is one run on one machine, one store, one API.",
    ]
    return "\n".join(head) + "\n\n" + "\n".join(map(str, sections))


def kilo(number: float) -> str:
    """A number with its thousands apart."""
    return f"{number:,.0f}"


def mebi(size: float) -> str:
    """Bytes in MiB."""
    return f"{size / 2**20:,.0f}"


def percent(share: float) -> str:
    """A share in percent."""
    return f"{share * 100:.1f} %" if share < 0.1 else f"{share * 100:.0f} %"


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _commit() -> str:
    commit = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "tasks", "worker", "bench/*.py")
    return f"{commit or 'unknown'} and changes that are not committed" if changed else commit or "unknown"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=_GIT_S, check=False)
    return done.stdout.strip()


def _machine() -> str:
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{psutil.cpu_count()} cores ({_cpu_model()}), {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
