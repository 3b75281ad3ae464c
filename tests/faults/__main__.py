"""`make faults`: runs the battery and prints its one table; exit code 1 when anything is lost, wrong or stuck."""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from tests.faults.battery import BATTERY, Result, play

HEAD = (
    "| fault | groups | lost | reported closed falsely | closed twice in effect | calls a group | s to drain |\n"
    "|---|---:|---:|---:|---:|---:|---:|"
)


def main() -> int:
    """Run what was asked for; print a row as each fault ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--groups", type=int, default=1500)
    parser.add_argument("--only", default="", help="only faults with this in their name")
    parser.add_argument("--write", type=Path, help="write the report to this file, as Markdown")
    options = parser.parse_args()
    title = f"Commit {_commit()}, {datetime.now(UTC):%Y-%m-%d}."
    print(f"{title}\n\n{HEAD}", flush=True)
    results = []
    for row in BATTERY:
        if options.only in row.name:
            results.append(play(row, options.groups))
            print(_line(results[-1]), flush=True)
    wrong = [result for result in results if result.wrong]
    for result in wrong:
        print(f"\n{result.name}: {'; '.join(result.wrong)}\n{result.logs}", file=sys.stderr)
    if options.write:
        options.write.write_text(_document(title, results))
    return 1 if wrong or not results else 0


def _document(title: str, results: list[Result]) -> str:
    """The table, and below it how each fault is done."""
    how = [f"- **{row.name}**: {' '.join((row.fault.__doc__ or '').split())}" for row in BATTERY]
    head = ["# The battery of faults, last run", "", title, "", HEAD]
    return "\n".join([*head, *map(_line, results), "", "## What each fault does", "", *how, ""])


def _line(result: Result) -> str:
    mark = " (not as it must be)" if result.wrong else ""
    return (
        f"| {result.name}{mark} | {result.groups} | {result.lost} | {result.false} | {result.twice} "
        f"| {result.calls:.2f} | {result.drain_s:.1f} |"
    )


def _commit() -> str:
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )  # fmt: skip
    return described.stdout.strip() or "unknown"


if __name__ == "__main__":
    sys.exit(main())
