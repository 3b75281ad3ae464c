"""What docs, rules and dashboard say of the metrics: each that is named exists, and each that exists is explained."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
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


@pytest.mark.parametrize("page", [FLEET, WORKER], ids=["the fleet", "a worker"])
def test_there_are_few_series(page: list[Metric]) -> None:
    """Fewer than 250 on a page, and no label's value holds a blank."""
    samples = [sample for family in page for sample in family.samples]
    assert len(samples) < 200
    assert all(" " not in value for sample in samples for value in sample.labels.values())


RULES = ROOT / "deploy" / "prometheus" / "closer.rules.yml"
RULE_TESTS = RULES.with_name("closer.rules.test.yml")
DASHBOARD = ROOT / "deploy" / "grafana" / "closer.json"
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed (Debian: prometheus)")


def rules() -> list[dict[str, Any]]:
    """Every alert rule."""
    [group] = yaml.safe_load(RULES.read_text())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def queries() -> list[str]:
    """Every query of the dashboard."""
    return [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"] for target in panel["targets"]]


def scraped() -> set[str]:
    """The names of all series, as queries name them."""
    metrics = [*FLEET, *WORKER]
    histograms = [one.name for one in metrics if one.type == "histogram"]
    return names() | {f"{name}_{part}" for name in histograms for part in ("bucket", "sum", "count")}


def promtool(*words: str) -> None:
    """Run it; it must be content."""
    assert PROMTOOL is not None
    ended = subprocess.run([PROMTOOL, *words], capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("expression", sorted({*queries(), *(rule["expr"] for rule in rules())}))
def test_every_query_names_metrics_that_exist(expression: str) -> None:
    """A misspelt metric would never fire and never show."""
    named = set(re.findall(r"\bcloser_[a-z_]+", expression))
    assert named <= scraped()
    assert named or "process_" in expression


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_every_alert_has_a_page(rule: dict[str, Any]) -> None:
    """Its `runbook_url` is a heading that exists; docs/monitoring.md has a row for it, with its severity."""
    path, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^#{2,3} (.+)$", (ROOT / path).read_text(), flags=re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    rows = (ROOT / "docs" / "monitoring.md").read_text()
    assert f"| `{rule['alert']}` | {rule['labels']['severity']} |" in rows


def test_every_alert_is_tried() -> None:
    """Each has a case in which it fires, and one in which it is quiet."""
    fires: set[str] = set()
    quiet: set[str] = set()
    for case in yaml.safe_load(RULE_TESTS.read_text())["tests"]:
        for tried in case["alert_rule_test"]:
            (fires if tried["exp_alerts"] else quiet).add(tried["alertname"])
    assert fires == quiet == {rule["alert"] for rule in rules()}


@needs_promtool
def test_the_rules_do_what_they_say() -> None:
    """Prometheus's own tool reads them, and tries each."""
    promtool("check", "rules", str(RULES))
    promtool("test", "rules", str(RULE_TESTS))


@needs_promtool
def test_the_configuration_is_read() -> None:
    """Prometheus's own tool reads prometheus.yml."""
    promtool("check", "config", str(RULES.with_name("prometheus.yml")))


@needs_promtool
def test_every_query_of_the_dashboard_is_read(tmp_path: Path) -> None:
    """Prometheus parses each."""
    asked = [query.replace("$instance", ".*") for query in queries()]
    recorded = [{"record": f"query_{number}", "expr": query} for number, query in enumerate(asked)]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": recorded}]}))
    promtool("check", "rules", str(file))


def test_the_dashboard_is_whole() -> None:
    """Each panel has a title, a description, its place and its queries, which go to the chosen data source."""
    dashboard = json.loads(DASHBOARD.read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels) >= 5
    for panel in panels:
        assert panel["description"]
        assert {*panel["gridPos"]} == {"x", "y", "w", "h"}
        assert panel["targets"]
        assert all(one["datasource"]["uid"] == "${datasource}" for one in (panel, *panel["targets"]))
    assert [variable["name"] for variable in dashboard["templating"]["list"]] == ["datasource", "instance"]
