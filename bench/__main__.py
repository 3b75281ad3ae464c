"""`python -m bench SCENARIO…`: measure, print the tables, and with `--write` keep them in `bench/results.md`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from bench.lab import Lab, lab
from bench.options import Options
from bench.report import Section, document
from bench.scenarios import bulk, door, drain, hold, idle, latency, profile, store, sweep, throughput, two

RESULTS = Path(__file__).parent / "results.md"
SCENARIOS: dict[str, Callable[[Lab, Options], Iterator[Section]]] = {
    "throughput": throughput.measure,
    "latency": latency.measure,
    "store": store.measure,
    "idle": idle.idle,
    "parked": idle.with_parked,
    "two": two.measure,
    "drain": drain.measure,
    "sweep": sweep.measure,
    "hold": hold.measure,
    "door": door.measure,
    "bulk": bulk.measure,
}
BY_NAME = {"profile": profile.measure}  # not in `all`: looking into another process takes rights that not all have


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([*SCENARIOS, *BY_NAME, "all"]), metavar="SCENARIO…")
@click.option("--groups", default=5_000, show_default=True, help="Groups to close in one run.")
@click.option("--concurrency", multiple=True, type=int, default=(100, 300), show_default=True, help="Calls in flight.")
@click.option("--latency", "latency_ms", default=100.0, show_default=True, help="The API's time for a call (ms).")
@click.option("--peers/--no-peers", default=True, show_default=True, help="Whether throughput measures the peers too.")
@click.option("--only", multiple=True, help="Measure only this system in throughput (may be repeated).")
@click.option("--many", default=100_000, show_default=True, help="Closures or events for store, parked and drain.")
@click.option("--seconds", default=20.0, show_default=True, help="How long latency, idle and parked look.")
@click.option(
    "--tree",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Another checkout, for profile: its worker is measured, too.",
)
@click.option("--write", is_flag=True, help="Write bench/results.md.")
def main(names: tuple[str, ...], latency_ms: float, write: bool, **given: object) -> None:
    """Measure: throughput (the default), latency, store, idle, parked, two, drain, sweep, hold, door, or all; or
    profile.
    """
    options = Options(latency_s=latency_ms / 1000, **given)  # type: ignore[arg-type]  # checked by click
    chosen = [*(SCENARIOS if "all" in names else ()), *names] or ["throughput"]
    sections = []
    with lab() as place:
        for name in dict.fromkeys(name for name in chosen if name != "all"):
            for section in (SCENARIOS | BY_NAME)[name](place, options):
                click.echo(f"{section}\n")
                sections.append(section)
                if write:  # each time: what has been measured is not lost when a later scenario fails
                    RESULTS.write_text(document(sections, " ".join(sys.argv[1:])))


if __name__ == "__main__":
    main()
