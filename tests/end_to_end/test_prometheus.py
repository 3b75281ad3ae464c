"""A real Prometheus watches a worker and a console through an outage of the API: the right alert comes and goes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import yaml

from tests.end_to_end.fleet import SETTINGS
from tests.support import Process, count, free_port, key_of, publish, until
from tests.web.conftest import Console
from worker.simulator.server import Simulator, run_in_thread

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS = shutil.which("prometheus")
GROUPS = [f"sg_{number}" for number in range(15)]


def configuration(folder: Path, console: int, worker: int) -> Path:
    """The configuration and the rules that are shipped, with a second for each minute of a `for:`."""
    rules = (DEPLOY / "prometheus" / "closer.rules.yml").read_text()
    (folder / "closer.rules.yml").write_text(re.sub(r"(for: \d+)m$", r"\1s", rules, flags=re.MULTILINE))
    shipped = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    shipped["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    fleet, workers = shipped["scrape_configs"]
    fleet["static_configs"] = [{"targets": [f"127.0.0.1:{console}"]}]
    del workers["dns_sd_configs"]
    workers["static_configs"] = [{"targets": [f"127.0.0.1:{worker}"]}]
    file = folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(shipped))
    return file


class Prometheus:
    """A running one."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=f"{url}/api/v1", timeout=10, trust_env=False)
        self.fired: set[str] = set()

    def close(self) -> None:
        """Close the connection to it."""
        self._client.close()

    def is_there(self) -> bool:
        """Whether it answers."""
        try:
            return self._client.get("/status/buildinfo").status_code == 200
        except httpx.TransportError:
            return False

    def firing(self) -> set[str]:
        """The alerts that fire now."""
        alerts = self._client.get("/alerts").json()["data"]["alerts"]
        now = {alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing"}
        self.fired |= now
        return now

    def ask(self, query: str) -> dict[str, Any]:
        """What it answers to a query."""
        answer: dict[str, Any] = self._client.get("/query", params={"query": query}).json()
        return answer


@contextmanager
def prometheus(folder: Path, configured: Path) -> Iterator[Prometheus]:
    """A Prometheus with this configuration."""
    assert PROMETHEUS is not None
    port = free_port()
    command = [
        PROMETHEUS, f"--config.file={configured}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    with (folder / "prometheus.log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        running = Prometheus(f"http://127.0.0.1:{port}")
        try:
            until(running.is_there, "Prometheus")
            yield running
        finally:
            running.close()
            process.terminate()


@pytest.mark.long
@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed (Debian: prometheus)")
def test_an_outage_of_the_api(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """The outage's alert fires and is resolved, and no other fires; every query of the dashboard is answered."""
    port = free_port()
    with (
        run_in_thread(Simulator()) as (api, simulator),
        Process(
            tmp_path, "worker", **SETTINGS, redis_url=store_url, api_base_url=api, metrics_port=port,
            data_dir=tmp_path / "data",
        ),
        Console(tmp_path, store_url) as console,
    ):  # fmt: skip
        until(lambda: store.hlen(key_of("workers")), "the worker")
        publish(store, GROUPS)
        until(lambda: count(store, "closed") == len(GROUPS), "all closed")
        with prometheus(tmp_path, configuration(tmp_path, console.port, port)) as watch:
            until(lambda: watch.ask("closer_store_up == 1")["data"]["result"], "a scrape of the console")
            until(lambda: not watch.firing(), "nothing that begins before the first scrape")
            watch.fired.clear()
            simulator.configure(outage="500")
            publish(store, [f"in_outage_{number}" for number in range(50)])
            until(lambda: "CloserOutage" in watch.firing(), "its alert", 90)
            simulator.configure(outage="none")
            until(lambda: count(store, "closed") == len(GROUPS) + 50, "all closed in the end")
            until(lambda: not watch.firing(), "the alert is resolved")
            assert watch.fired == {"CloserOutage"}
            for panel in json.loads((DEPLOY / "grafana" / "closer.json").read_text())["panels"]:
                for target in panel["targets"]:
                    answer = watch.ask(target["expr"].replace("$instance", ".*"))
                    assert answer["status"] == "success", target["expr"]
                    assert answer["data"]["result"] or " > 0" in target["expr"], target["expr"]
