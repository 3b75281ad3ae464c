"""Groups that refuse and calls that go wrong at the simulated API, over real HTTP."""

from __future__ import annotations

import httpx
import pytest

from tests.simulator.support import CLOSE, DROPPED, GET, REFERENCE, assert_error
from worker.simulator.replies import PROCESSING_CODE
from worker.simulator.server import Simulator


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [("gone", 410, "gone"), ("forbidden", 403, "forbidden"), ("missing", 404, "not_found")],
)
async def test_groups_that_refuse(
    simulator: Simulator, api: httpx.AsyncClient, fault: str, status: int, code: str
) -> None:
    """A group that is gone, forbidden or missing says so at every endpoint and is never closed."""
    simulator.configure(faults={fault: 1.0})
    assert_error(await api.post(CLOSE), status, code)
    assert_error(await api.get(GET), status, code)
    assert simulator.records()[REFERENCE].effective_closes == 0


async def test_a_group_that_was_closed_before_is_not_our_close(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """A group drawn as already closed answers 304 at once and counts no effective close."""
    simulator.configure(faults={"already_closed": 1.0})
    assert (await api.post(CLOSE)).status_code == httpx.codes.NOT_MODIFIED
    assert simulator.records()[REFERENCE].effective_closes == 0


async def test_a_group_drawn_as_unlocked_starts_open(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """A group drawn as unlocked cannot be closed before it is locked."""
    simulator.configure(faults={"unlocked": 1.0})
    statuses = [(await api.post(f"{GET}/{endpoint}")).status_code for endpoint in ("close", "lock", "close")]
    assert statuses == [409, 200, 200]


async def test_processing_is_a_transient_404(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """A group still being processed answers its first calls with a 404 and a child code, then closes."""
    simulator.configure(faults={"processing_404": 1.0, "processing_calls": 2})
    for _ in range(2):
        assert_error(await api.post(CLOSE), 404, "not_found", PROCESSING_CODE)
    assert (await api.post(CLOSE)).status_code == httpx.codes.OK


@pytest.mark.parametrize(
    ("fault", "status", "kind"),
    [
        ("error_500", 500, "application/json"),
        ("error_503_html", 503, "text/html"),
        ("throttle_429", 429, "application/json"),
        ("unusable_200", 200, "text/html"),
    ],
)
async def test_a_call_that_goes_wrong_takes_no_effect(
    simulator: Simulator, api: httpx.AsyncClient, fault: str, status: int, kind: str
) -> None:
    """A failed, throttled or intercepted close leaves the group as it was; without the fault it closes."""
    simulator.configure(faults={fault: 1.0})
    reply = await api.post(CLOSE)
    assert (reply.status_code, reply.headers["content-type"].split(";")[0]) == (status, kind)
    assert simulator.records()[REFERENCE].state == "locked"
    simulator.configure(faults={fault: 0.0})
    assert (await api.post(CLOSE)).status_code == httpx.codes.OK


@pytest.mark.parametrize(("seconds", "header"), [(0, "0"), (30, "30"), (None, None)])
async def test_throttling_names_when_to_come_back(
    simulator: Simulator, api: httpx.AsyncClient, seconds: int | None, header: str | None
) -> None:
    """A throttled call carries Retry-After as told, and is not a rule conflict."""
    simulator.configure(faults={"throttle_429": 1.0, "retry_after_s": seconds})
    reply = await api.post(CLOSE)
    assert reply.headers.get("retry-after") == header
    assert "code" not in reply.json()


@pytest.mark.parametrize(("fault", "effective"), [("cut_before", 0), ("cut_after", 1)])
async def test_cut_connections(simulator: Simulator, api: httpx.AsyncClient, fault: str, effective: int) -> None:
    """A cut before leaves the group alone; a cut after has closed it, once however often it is repeated."""
    simulator.configure(faults={fault: 1.0})
    for _ in range(3):
        with pytest.raises(DROPPED):
            await api.post(CLOSE)
    record = simulator.records()[REFERENCE]
    assert (record.close_calls, record.effective_closes) == (3, effective)
    simulator.configure(faults={fault: 0.0})
    assert (await api.post(CLOSE)).status_code == (304 if effective else 200)
    assert simulator.groups.summary()["calls"]["close"]["dropped"] == 3


async def test_calls_can_go_wrong_at_close_only(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """With `close_only` the state can still be asked for while every close goes wrong."""
    simulator.configure(faults={"unusable_200": 1.0, "close_only": True})
    assert (await api.post(CLOSE)).headers["content-type"] == "text/html"
    assert (await api.get(GET)).json()["state"] == "locked"
