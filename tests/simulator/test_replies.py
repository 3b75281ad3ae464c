"""The documented replies of the simulated API, over real HTTP."""

from __future__ import annotations

import httpx
import pytest

from tests.simulator.support import CLOSE, GET, HEADERS, LIMIT_S, REFERENCE, assert_error
from worker.simulator.server import Simulator, run_in_thread


async def test_close_of_a_locked_group_answers_the_documented_resource_result(
    simulator: Simulator, api: httpx.AsyncClient
) -> None:
    """A close of a locked group closes it and names it in the documented body; the link leads to it."""
    simulator.groups.add(REFERENCE, custom_reference="CarrierX-PM")
    reply = await api.post(CLOSE)
    link = {"rel": "self", "reference": REFERENCE, "type": "shipment_group"}
    assert reply.status_code == httpx.codes.OK
    assert reply.json() == {
        "reference": REFERENCE,
        "custom_reference": "CarrierX-PM",
        "message": f"Shipment group {REFERENCE} has been closed successfully",
        "_links": [{"href": simulator.base_url + GET, **link}],
    }
    assert simulator.base_url.endswith("/pro")
    assert (await api.get(reply.json()["_links"][0]["href"])).json()["state"] == "closed"


async def test_a_second_close_answers_304_without_a_body(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """Closed is final: every further close answers 304, has no body, and takes no effect."""
    replies = [await api.post(CLOSE) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 304, 304]
    assert replies[1].content == b""
    record = simulator.records()[REFERENCE]
    assert (record.close_calls, record.effective_closes, record.state) == (3, 1, "closed")


async def test_an_open_group_must_be_locked_before_it_can_be_closed(
    simulator: Simulator, api: httpx.AsyncClient
) -> None:
    """Close of an open group is a 409 conflict; after a lock it succeeds."""
    simulator.groups.add(REFERENCE, "open")
    assert_error(await api.post(CLOSE), 409, "conflict", "invalid_state_for_operation")
    assert (await api.post(f"{GET}/lock")).json()["message"].endswith("has been locked successfully")
    assert (await api.post(CLOSE)).status_code == httpx.codes.OK


async def test_lock_and_unlock_answer_200_then_304_and_409_once_closed(
    simulator: Simulator, api: httpx.AsyncClient
) -> None:
    """Lock and unlock move the group, answer 304 when nothing changes, and 409 once it is closed."""
    simulator.groups.add(REFERENCE, "open")
    order = ["lock", "lock", "unlock", "unlock", "lock", "close", "lock", "unlock"]
    statuses = [(await api.post(f"{GET}/{endpoint}")).status_code for endpoint in order]
    assert statuses == [200, 304, 200, 304, 200, 200, 409, 409]


async def test_get_shows_the_documented_group(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """The shipment group object has the documented properties, times only for what has happened."""
    simulator.groups.add(REFERENCE, "open", custom_reference="CarrierX-PM")
    group = (await api.get(GET)).json()
    assert group.pop("created").endswith("+00:00")
    assert group == {
        "reference": REFERENCE,
        "custom_reference": "CarrierX-PM",
        "shipments": ["sp_" + REFERENCE[3:]],
        "version": 1,
        "state": "open",
        "locked": None,
        "closed": None,
    }


async def test_a_custom_reference_is_reused_after_a_close(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """Each reuse of a custom reference is a new version, `latest` the newest; open groups share none."""
    simulator.groups.add("sg_1", "closed", "CarrierX-PM")
    simulator.groups.add("sg_2", "locked", "CarrierX-PM")
    with pytest.raises(ValueError, match="CarrierX-PM is the custom reference of sg_2"):
        simulator.groups.add("sg_3", "open", "CarrierX-PM")
    base = "/shipment_groups/custom_reference/CarrierX-PM/"
    found = {version: (await api.get(base + version)).json().get("reference") for version in ("1", "latest")}
    assert found == {"1": "sg_1", "latest": "sg_2"}
    for version in ("0", "3"):
        assert_error(await api.get(base + version), 404, "not_found")
    assert_error(await api.get(base + "newest"), 400, "validation_error", "invalid_reference_format")


@pytest.mark.parametrize("key", [None, "", "wrong"])
async def test_a_missing_or_wrong_api_key_is_401(simulator: Simulator, api: httpx.AsyncClient, key: str | None) -> None:
    """Without the one right key every endpoint answers 401 `unauthorised` and nothing happens."""
    simulator.configure(api_key="right")
    headers = {"x-api-version": "1.1"} | ({} if key is None else {"x-api-key": key})
    async with httpx.AsyncClient(base_url=simulator.base_url, headers=headers, timeout=LIMIT_S) as stranger:
        assert_error(await stranger.post(CLOSE), 401, "unauthorised")
        assert_error(await stranger.get(GET), 401, "unauthorised")
    assert simulator.records()[REFERENCE].effective_closes == 0
    assert (await api.post(CLOSE, headers={"x-api-key": "right"})).status_code == httpx.codes.OK


async def test_a_missing_version_header_is_400(simulator: Simulator) -> None:
    """The version header is required on every call."""
    async with httpx.AsyncClient(base_url=simulator.base_url, timeout=LIMIT_S) as client:
        reply = await client.post(CLOSE, headers={"x-api-key": "secret"})
    assert_error(reply, 400, "validation_error", "header_required")


@pytest.mark.parametrize("reference", ["sg.1", "sg%201", "sg%2F1", "a" * 129])
async def test_a_malformed_reference_is_400(simulator: Simulator, api: httpx.AsyncClient, reference: str) -> None:
    """A reference that is not a safe path segment is refused by its format, and no group appears."""
    reply = await api.post(f"/shipment_groups/{reference}/close")
    assert_error(reply, 400, "validation_error", "invalid_reference_format")
    assert simulator.records() == {}


def test_unknown_groups_can_be_missing() -> None:
    """Told so, the simulator makes no group up: only seeded groups exist, each once."""
    with run_in_thread(Simulator(unknown="missing"), timeout_s=LIMIT_S) as (base_url, simulator):
        simulator.groups.add("sg_seeded")
        with pytest.raises(ValueError, match="exists already"):
            simulator.groups.add("sg_seeded")
        close = base_url + "/shipment_groups/{}/close"
        assert_error(httpx.post(close.format("sg_other"), headers=HEADERS), 404, "not_found")
        assert httpx.post(close.format("sg_seeded"), headers=HEADERS).status_code == httpx.codes.OK
