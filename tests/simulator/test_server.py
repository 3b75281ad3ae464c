"""The simulator as a server: time, outages, its records and settings for other processes."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from click.testing import CliRunner

from tests.simulator.support import CLOSE, DROPPED, HEADERS, IMPATIENT, LIMIT_S, REFERENCE, assert_error
from worker.cli.simulate import simulate
from worker.simulator.groups import Groups
from worker.simulator.server import Simulator, run_in_thread


async def test_latency_delays_the_reply(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """A call takes its latency at least."""
    simulator.configure(faults={"latency_s": 0.05, "latency_jitter_s": 0.01})
    clock = asyncio.get_running_loop().time
    before = clock()
    assert (await api.post(CLOSE)).status_code == httpx.codes.OK
    assert clock() - before >= 0.05


async def test_a_client_that_gave_up_does_not_stop_the_close(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """A close whose client timed out takes effect all the same, and only once with the repetition."""
    simulator.configure(faults={"latency_s": 0.1})
    with pytest.raises(httpx.ReadTimeout):
        await api.post(CLOSE, timeout=IMPATIENT)
    assert (await api.post(CLOSE)).status_code == httpx.codes.NOT_MODIFIED
    assert simulator.records()[REFERENCE].effective_closes == 1


async def test_an_outage_of_errors_or_refusals_ends_as_told(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """During an outage no call takes effect; every one that arrives is counted; after it all is as before."""
    simulator.configure(outage="500")
    assert_error(await api.post(CLOSE), 500, "internal_server_error")
    simulator.configure(outage="refuse")
    with pytest.raises(DROPPED):
        await api.post(CLOSE)
    simulator.configure(outage="none")
    assert (await api.post(CLOSE)).status_code == httpx.codes.OK
    assert simulator.groups.summary()["calls"]["close"] == {"200": 1, "500": 1, "dropped": 1}


async def test_a_hanging_call_ends_with_the_outage(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """A hanging call gets no answer; when the outage ends its connection is dropped, without effect."""
    simulator.configure(outage="hang")
    with pytest.raises(httpx.ReadTimeout):
        await api.post(CLOSE, timeout=IMPATIENT)
    summary = simulator.base_url.removesuffix("/pro") + "/_simulator/summary"
    waiting = asyncio.create_task(api.post(CLOSE))
    async with asyncio.timeout(LIMIT_S):
        while (await api.get(summary)).json()["close_calls"] < 2:
            pass  # the second call has not arrived yet
    simulator.configure(outage="none")
    with pytest.raises(DROPPED):
        await waiting
    assert simulator.records()[REFERENCE].effective_closes == 0


async def test_stop_ends_hanging_calls(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """A simulator that stops drops what hangs, listens no more, and keeps its records; it may start again."""
    simulator.configure(outage="hang")
    with pytest.raises(httpx.ReadTimeout):
        await api.post(CLOSE, timeout=IMPATIENT)
    with pytest.raises(RuntimeError, match="runs already"):
        await simulator.start()
    await asyncio.wait_for(simulator.stop(), LIMIT_S)
    with pytest.raises(httpx.ConnectError):
        await api.post(CLOSE)
    assert list(simulator.records()) == [REFERENCE]
    assert await simulator.start()


async def test_concurrent_closes_take_effect_once(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """Of many closes of one group at the same time exactly one answers 200."""
    simulator.configure(faults={"latency_s": 0.02})
    replies = await asyncio.gather(*(api.post(CLOSE) for _ in range(20)))
    assert sorted(reply.status_code for reply in replies) == [200] + [304] * 19
    assert simulator.records()[REFERENCE].effective_closes == 1


def test_other_processes_read_records_and_change_settings() -> None:
    """The control endpoints, outside the base path, give every record and the totals, and change settings."""
    with run_in_thread(timeout_s=LIMIT_S) as (base_url, simulator):
        control = base_url.removesuffix("/pro") + "/_simulator"
        settings = {"outage": "500", "api_key": "k", "faults": {"gone": 0.5}}
        changed = httpx.post(control + "/settings", json=settings)
        assert (changed.json()["outage"], changed.json()["faults"]["gone"]) == ("500", 0.5)
        assert "api_key" not in changed.json()
        assert httpx.post(base_url + CLOSE, headers=HEADERS).status_code == httpx.codes.INTERNAL_SERVER_ERROR
        httpx.post(control + "/settings", json={"outage": "none", "api_key": None, "faults": {"gone": 0}})
        assert httpx.post(base_url + "/shipment_groups/sg_2/close", headers=HEADERS).is_success
        records = {record["reference"]: record for record in httpx.get(control + "/groups").json()}
        assert records["sg_2"] == simulator.records()["sg_2"].as_json()
        assert records["sg_2"]["effective_closes"] == 1
        summary = httpx.get(control + "/summary").json()
        assert summary["calls"] == {"close": {"200": 1, "500": 1}}
        assert (summary["close_calls"], summary["effective_closes_max"]) == (2, 1)
        assert summary["first_call"] < summary["last_call"]


@pytest.mark.parametrize("content", ['{"outage": "slow"}', '{"faults": {"gone": 2}}', "[]", "{", '{"x": 1}'])
def test_wrong_settings_are_refused(content: str) -> None:
    """Settings that make no sense answer 400 and change nothing."""
    with run_in_thread(timeout_s=LIMIT_S) as (base_url, simulator):
        before = simulator.settings
        reply = httpx.post(base_url.removesuffix("/pro") + "/_simulator/settings", content=content)
        assert reply.status_code == httpx.codes.BAD_REQUEST
        assert reply.json()
        assert simulator.settings == before


def test_a_taken_port_is_an_os_error() -> None:
    """A port that is taken is reported as OSError, in a thread as well, and leaves nothing running."""
    with run_in_thread(timeout_s=LIMIT_S) as (base_url, _):
        port = httpx.URL(base_url).port
        assert port is not None
        with pytest.raises(OSError, match="in use"), run_in_thread(port=port, timeout_s=LIMIT_S):
            raise AssertionError("two simulators on one port")
        refused = CliRunner().invoke(simulate, ["--port", str(port)])
        assert refused.exit_code == 1
        assert "try another --port" in refused.output


def test_an_unused_simulator_has_an_empty_summary() -> None:
    """Totals of nothing are zeros, and no time is made up."""
    summary = Groups().summary()
    assert (summary["groups"], summary["calls"]) == ({"open": 0, "locked": 0, "closed": 0}, {})
    assert (summary["effective_closes_max"], summary["first_call"], summary["last_call"]) == (0, None, None)
