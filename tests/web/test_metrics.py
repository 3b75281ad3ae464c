"""`/metrics`: for Prometheus, shared by all who scrape, and answered while the store is away."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import redis

from tests.operations.test_fleet_metrics import values
from tests.support import free_port, url_of, valkey
from tests.web.conftest import Console, give, kind


def test_all_who_scrape_share_a_snapshot(console: Console, store: redis.Redis) -> None:
    """Fifty at once cost the store a snapshot a second, not fifty."""
    token = give(store, "prom", "viewer")
    console.get("/metrics", token)
    store.config_resetstat()
    with ThreadPoolExecutor(10) as pool:
        replies = list(pool.map(lambda _: console.get("/metrics", token), range(50)))
    assert {reply.status_code for reply in replies} == {200}
    assert replies[0].headers["content-type"].startswith("text/plain; version=")
    assert store.info("commandstats").get("cmdstat_info", {"calls": 0})["calls"] < 20


def test_the_store_goes_away(tmp_path: Path) -> None:
    """Who was let in before gets the last snapshot and `closer_store_up 0`; somebody else gets nothing."""
    port = free_port()
    with valkey(tmp_path / "store", port) as server:
        with redis.Redis.from_url(url_of(server)) as store:
            token = give(store, "prom", "viewer")
        url = url_of(server)
        console = Console(tmp_path, url)
        with console:
            before = values(console.get("/metrics", token).content)
            assert before["closer_store_up"] == 1
            server.terminate()
            after = values(console.get("/metrics", token).content)
            while after["closer_store_up"]:  # a snapshot counts for a second
                after = values(console.get("/metrics", token).content)
            assert {*after} == {*before}
            assert after["closer_snapshot_age_seconds"] > 0
            stranger = console.get("/metrics", "closer_unknown")
            assert (stranger.status_code, kind(stranger)) == (503, "store-away")
