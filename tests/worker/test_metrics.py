"""A worker's own metrics: every series from the start, none for what comes from outside, over real HTTP."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tasks.api.reply import Failure, NoReply, Reply
from tasks.attempted import Attempted, Called, CallName, Written
from tasks.closure import Outcome, State
from tasks.errors import ConfigurationError
from tasks.history import Attempt
from tasks.ledger.values import Claim, Settlement
from tasks.retry import Again, Decision, Done
from tasks.verdict import Closed
from tests.support import Process, count, free_port, publish, until
from worker.observe.metrics import WorkerMetrics
from worker.observe.metrics_page import MetricsPage
from worker.simulator.server import Simulator, run_in_thread

DONE = Done(Outcome.CLOSED)


def attempted(
    *calls: Called, reference: str = "sg_1", decision: Decision = DONE, written: Written = Written.SETTLED
) -> Attempted:
    """An attempt whose event came 9 s before its claim, and whose result waited half a second."""
    claim = Claim(reference, 1, 0, 0, remaining_s=9.0, wait_s=1.0, at_ms=10_000, sent_ms=50, received_ms=1_000)
    attempt, settlement = Attempt(1, "w1"), Settlement(reference, 1, State.CLOSED)
    return Attempted(claim, calls, Closed(Outcome.CLOSED), decision, 0.2, attempt, settlement, written, 0.5)


def values(text: str) -> dict[str, float]:
    """The value of each series by its name and labels."""
    return {
        f"{sample.name}{dict(sorted(sample.labels.items()))}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(metrics: WorkerMetrics) -> dict[str, float]:
    """The values as Prometheus reads them."""
    return values(generate_latest(metrics.registry).decode())


def scraped(port: int) -> dict[str, float]:
    """The values that a page shows."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
        return values(reply.read().decode())


def calls_of(found: dict[str, float], call: str, kind: str) -> float:
    """How many calls of a kind were counted."""
    return found[f"closer_api_request_duration_seconds_count{{'call': '{call}', 'class': '{kind}'}}"]


def test_every_series_is_there_from_the_start() -> None:
    """An alert on the first failure needs the 0 before it; and there are few series, whatever comes from outside."""
    metrics = WorkerMetrics()
    before = read(metrics)
    for number in range(1000):
        reply = Reply(200) if number % 2 else NoReply(Failure.CUT)
        metrics.observe(attempted(Called(CallName.CLOSE, reply, 0.1), reference=f"sg_{number}"))
    assert {*read(metrics)} == {*before}
    assert len(before) < 180
    assert all(calls_of(before, call, kind) == 0 for call in CallName for kind in ("2xx", "304", "4xx", "5xx", "none"))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(200), "2xx"), (Reply(304), "304"), (Reply(409), "4xx"), (Reply(503), "5xx"), (Reply(302), "none"),
        (Reply(600), "none"), (NoReply(Failure.TIMEOUT), "none"), (NoReply(Failure.TOO_LARGE, status=200), "none"),
    ],
)  # fmt: skip
def test_each_call_is_timed(reply: Reply | NoReply, kind: str) -> None:
    """By which call it was and by what came back."""
    metrics = WorkerMetrics()
    metrics.observe(attempted(Called(CallName.CLOSE, reply, 0.2), Called(CallName.STATE, Reply(200), 2.0)))
    found = read(metrics)
    assert calls_of(found, "close", kind) == 1
    assert calls_of(found, "state", "2xx") == 1
    assert found["closer_api_request_duration_seconds_sum{'call': 'state', 'class': '2xx'}"] == 2.0


def test_the_way_from_the_event() -> None:
    """It ends when the result was written. An attempt that closed nothing, or whose result was lost, has none."""
    metrics = WorkerMetrics()
    metrics.observe(attempted())
    metrics.observe(attempted(decision=Again(1.0, "x")))
    metrics.observe(attempted(written=Written.LEASE_LOST))
    plain = attempted()
    metrics.observe(plain._replace(claim=Claim("sg_1", 1, 0, 0, 9.0, 0.0, 1)))
    found = read(metrics)
    assert found["closer_event_to_closed_seconds_sum{}"] == pytest.approx(9 + 1 + 0.2 + 0.5)
    assert found["closer_event_to_closed_seconds_count{}"] == 1
    assert (found["closer_dispatch_seconds_count{}"], found["closer_settle_seconds_count{}"]) == (3, 4)


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a page."""
    port = free_port()
    served = MetricsPage(port, WorkerMetrics().registry)
    yield port
    served.close()


def test_a_reader_that_says_nothing_holds_up_nobody(page: int) -> None:
    """Readers that connect and are silent do not keep others from the page, over IPv4 and IPv6."""
    silent = [socket.create_connection(("127.0.0.1", page)) for _ in range(20)]
    for host in ("127.0.0.1", "::1") if socket.has_dualstack_ipv6() else ("127.0.0.1",):
        connection = HTTPConnection(host, page, timeout=10)
        connection.request("GET", "/metrics")
        assert b"closer_in_flight 0.0" in connection.getresponse().read()
        connection.close()
    for one in silent:
        one.close()


def test_nothing_can_be_changed_there(page: int) -> None:
    """Only reading is allowed."""
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(f"http://127.0.0.1:{page}/metrics", data=b"x", timeout=10)


def test_a_port_that_is_taken(page: int) -> None:
    """It is told with the variable."""
    with pytest.raises(ConfigurationError, match=f"CLOSER_METRICS_PORT: port {page} cannot be had"):
        MetricsPage(page, CollectorRegistry())


def test_a_worker_serves_its_metrics(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """A real worker counts what it has done; another one on the same port does not start, with exit code 2."""
    port = free_port()
    with run_in_thread(Simulator()) as (api, _):
        settings = {"redis_url": store_url, "api_base_url": api, "metrics_port": port, "data_dir": tmp_path / "data"}
        with Process(tmp_path, "worker", **settings) as worker:
            publish(store, [f"sg_{number}" for number in range(20)])
            until(lambda: count(store, "closed") == 20, "all closed")
            until(lambda: calls_of(scraped(port), "close", "2xx") == 20, "all counted")
            found = scraped(port)
            with Process(tmp_path, "worker", **settings | {"data_dir": tmp_path / "other"}) as second:
                assert second.process.wait(45) == 2
            assert f"CLOSER_METRICS_PORT: port {port} cannot be had" in second.output
            assert worker.stop() == 0, worker.output
    assert found["closer_event_to_closed_seconds_count{}"] == 20
    assert found["closer_build_info{'version': '0.1.0'}"] == 1
    assert len(found) < 180
