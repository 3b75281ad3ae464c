"""One running worker for the tests of hostile input, a module at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.end_to_end.fleet import SETTINGS, own_store
from tests.end_to_end.hostile import Fleet
from tests.support import Process
from worker.simulator.server import Simulator, run_in_thread


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A running worker, its store and the simulated API; at the end it must stop as it should."""
    with (
        own_store(tmp_path_factory.mktemp("store")) as (url, store),
        run_in_thread(Simulator()) as (base_url, _),
        Process(tmp_path_factory.mktemp("log"), "worker", redis_url=url, api_base_url=base_url, **SETTINGS) as worker,
    ):
        yield Fleet(url, store, worker)
        assert worker.stop() == 0, worker.output
