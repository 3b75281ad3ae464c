"""A worker that cannot reach the API says in its log why, and what to do, in the words of `closer check`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from tests.end_to_end.fleet import SETTINGS
from tests.support import Process, free_port, publish, run, until
from tests.worker.tls_front import tls_front
from worker.simulator.server import run_in_thread

SAID = "the API cannot be called, and closures wait"


@pytest.mark.parametrize(
    ("kind", "what", "remedy"),
    [
        ("tls", "its certificate is not from an authority that is trusted here", "set SSL_CERT_FILE to a file with"),
        ("nobody", "nobody listens there", "correct CLOSER_API_BASE_URL"),
    ],
)
def test_why_is_said_once(
    store: redis.Redis, store_url: str, tmp_path: Path, kind: str, what: str, remedy: str
) -> None:
    """However many calls fail, the log has one line with the remedy that `closer check` prints."""
    with run_in_thread() as (url, _), tls_front(int(url.split(":")[2].partition("/")[0])) as port:
        address = f"https://127.0.0.1:{port}/pro" if kind == "tls" else f"http://127.0.0.1:{free_port()}/pro"
        given: dict[str, Any] = {**SETTINGS, "redis_url": store_url, "api_base_url": address}
        publish(store, [f"sg_{number}" for number in range(8)])
        with Process(tmp_path, "worker", data_dir=tmp_path / "data", **given) as worker:
            until(lambda: worker.output.count("closure.attempted") >= 5, "some attempts")
            [line] = [line for line in worker.output.splitlines() if SAID in line]
        checked = run("check", **given).stdout
    assert f"{address}: {what} (" in line
    told = line.partition("To do: ")[2]
    assert told.startswith(remedy)
    assert told in " ".join(checked.split())
