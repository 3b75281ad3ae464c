"""`make faults`: runs the battery and prints its one table; exit code 1 when anything is lost, wrong or stuck."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.faults import battery
from tests.faults.rig import rig

BATTERY: dict[str, battery.Fault] = {
    "kill -9 of a worker, 5 times": battery.killed_workers,
    "rolling restart, SIGTERM": battery.rolling_restart,
    "kill -9 of the store": battery.killed_store,
    "frozen store, 20 s": battery.frozen_store,
    "store out of memory, 5 s": battery.full_store,
    "purged queue": battery.purged_queue,
    "doubled messages": battery.doubled_messages,
    "API answers 500, 10 s": battery.server_errors,
    "API hangs, 10 s": battery.hanging_api,
    "API unreachable, 15 s": battery.unreachable_api,
    "lost replies, 30 %": battery.lost_replies,
    "wrong key, then right": battery.wrong_key,
    "clocks an hour apart": battery.skewed_clock,
}
HEAD = "| fault | groups | lost | reported closed falsely | closed twice | calls a group | s to drain |"


def main() -> int:
    """Run what was asked for; print a row as each fault ends."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--groups", type=int, default=1500)
    parser.add_argument("--only", help="only faults with this in their name")
    options = parser.parse_args()
    print(f"commit {_commit()}\n\n{HEAD}\n|---|---|---|---|---|---|---|", flush=True)
    wrong = [
        name
        for name, fault in BATTERY.items()
        if (options.only or "") in name and not _row(name, fault, options.groups)
    ]
    if wrong:
        print(f"\nnot as it must be: {', '.join(wrong)}", file=sys.stderr)
    return 1 if wrong else 0


def _row(name: str, fault: battery.Fault, groups: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, rig(Path(folder), groups) as run:
        run.publish()
        fault(run)
        seconds = run.drain()
        tally = run.tally()
        print(
            f"| {name} | {groups} | {tally['lost']} | {tally['false']} | {tally['twice']} "
            f"| {tally['calls']:.2f} | {seconds:.1f} |",
            flush=True,
        )
        good = not (tally["lost"] or tally["false"] or tally["twice"])
        if not good:
            print("\n".join(worker.output[-3000:] for worker in run.workers), file=sys.stderr)
        return good


def _commit() -> str:
    return subprocess.run(
        ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
