"""The battery's shorter form: few groups, one fault at a time, and no limit on time; `make faults` runs the whole."""

from __future__ import annotations

from functools import partial

import pytest

from tests.faults import apis, poisons, stores, workers
from tests.faults.battery import Row, play

GROUPS = 250
ROWS = [
    Row("kill -9 of a worker", workers.killed_once),
    Row("kill -9 of the store", partial(stores.killed_store, away_s=1)),
    Row("purged queue", partial(stores.purged_queue, shares=(0.1,))),
    Row("doubled messages", stores.doubled_messages, most_calls=1.0),
    Row("API unreachable", partial(apis.unreachable_api, seconds=2), most_calls=3.0),
    Row("lost replies", apis.lost_replies),
    Row("wrong key, then right", partial(apis.wrong_key, seconds=1)),
    Row("stopped twice", workers.impatient_stop),
    Row("poison: attempts break", partial(poisons.broken_attempts, tries=2)),
    Row("poison: damaged records", poisons.damaged_records),
]


@pytest.mark.long(but=["kill -9 of a worker"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_nothing_lost_and_nothing_closed_twice(row: Row) -> None:
    """Whatever goes wrong, every group is closed, once in effect, with few calls, and no worker ends by itself."""
    result = play(row, GROUPS)
    assert not result.wrong, f"{result.wrong}\n{result.logs}"
