"""What docs, rules and dashboard say of the metrics: each that is named exists, and each that exists is explained."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client import Metric

from tasks.ledger.measures import Measured
from tasks.ledger.tally import Tally
from tests.operations.summaries import empty
from worker.observe.metrics import WorkerMetrics
from worker.operations.metric_families import families, families_of_the_store
from worker.operations.snapshot import Snapshot

ROOT = Path(__file__).parents[1]
EMPTY = Snapshot(empty(), Measured(0, 0, 0, Tally({}, {})), None, None)
FLEET = [*families(EMPTY), *families_of_the_store(up=True, age_s=0)]
WORKER = [one for one in WorkerMetrics().registry.collect() if one.name.startswith("closer_")]


def name_of(family: Metric) -> str:
    """The metric's name as a scrape shows it, without the endings of a histogram."""
    return family.name + ("_total" if family.type == "counter" else "")


def names() -> set[str]:
    """Every metric of closer's."""
    return {name_of(family) for family in (*FLEET, *WORKER)}


def test_every_metric_is_explained() -> None:
    """docs/monitoring.md has a row for each, and for nothing else."""
    page = (ROOT / "docs" / "monitoring.md").read_text()
    rows = re.findall(r"^\| `(closer_\w+)` \|", page, flags=re.MULTILINE)
    assert {*rows} == names()


def test_there_are_few_series() -> None:
    """Fewer than 250, the fleet's and a worker's together."""
    assert sum(len(family.samples) for family in (*FLEET, *WORKER)) < 250
