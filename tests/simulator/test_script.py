"""Scripts: what a test or a benchmark says to each call, over real HTTP."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.simulator.support import CLOSE, DROPPED, GET, IMPATIENT, REFERENCE
from worker.simulator import script
from worker.simulator.script import Answer, Call, Hang, Own, Raw, Reply
from worker.simulator.server import Simulator


def answer_with(simulator: Simulator, *answers: Answer) -> list[Call]:
    """Script these answers in turn; the list fills with the calls."""
    left, calls = list(answers), []

    async def say(call: Call, _: Own) -> Answer:
        calls.append(call)
        return left.pop(0)

    simulator.script = say
    return calls


async def test_a_scripted_reply_takes_no_effect_and_is_counted(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """Status, body and headers come as scripted; the group stays as it is, and its calls are counted."""
    calls = answer_with(simulator, Reply(599, b"{}", headers={"Retry-After": "7"}), Reply(204, b"forbidden here"))
    first, second = await api.post(f"{CLOSE}?x=1"), await api.post(CLOSE)
    assert (first.status_code, first.content, first.headers["retry-after"]) == (599, b"{}", "7")
    assert (second.status_code, second.content) == (204, b"")
    record = simulator.records()[REFERENCE]
    assert (record.state, record.close_calls, record.effective_closes) == ("locked", 2, 0)
    assert simulator.groups.summary()["calls"]["close"] == {"204": 1, "599": 1}
    assert [(call.number, call.reference, call.connection) for call in calls] == [(1, REFERENCE, 1), (2, REFERENCE, 1)]
    assert calls[0].target == f"/pro{CLOSE}?x=1"
    assert calls[0].headers["X-API-KEY"] == "secret"


async def test_a_script_may_lose_the_reply_of_a_call_that_took_effect(
    simulator: Simulator, api: httpx.AsyncClient
) -> None:
    """A script that asks for the simulator's own reply lets the call take effect, whatever it answers."""

    async def lose(_: Call, own: Own) -> Answer:
        await own()
        return script.DROPPED

    simulator.script = lose
    with pytest.raises(DROPPED):
        await api.post(CLOSE)
    simulator.script = None
    assert (await api.post(CLOSE)).status_code == httpx.codes.NOT_MODIFIED


async def test_a_script_may_hold_a_call_up(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """A call waits for what its script waits for, and then gets its own reply."""
    arrived, let = asyncio.Event(), asyncio.Event()

    async def hold(_: Call, own: Own) -> Answer:
        arrived.set()
        await let.wait()
        return await own()

    simulator.script = hold
    call = asyncio.create_task(api.post(CLOSE))
    await asyncio.wait_for(arrived.wait(), 10)
    assert simulator.records()[REFERENCE].state == "locked"
    let.set()
    assert (await call).status_code == httpx.codes.OK


async def test_bytes_come_as_they_are(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """Bytes may be no HTTP, may drip one by one, and may leave the connection open for the next call."""
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    calls = answer_with(
        simulator, Raw(whole, end=False), Raw(whole, every_s=0.001, end=False), Raw(b"SSH-2.0-OpenSSH_9.9\r\n")
    )
    assert [(await api.post(CLOSE)).text for _ in range(2)] == ["ok", "ok"]
    with pytest.raises(httpx.RemoteProtocolError):
        await api.post(CLOSE)
    assert calls[0].connection == calls[1].connection


async def test_a_scripted_hang_lasts_as_long_as_the_client_waits(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """A call that hangs gets no reply; the next call, on another connection, is served."""
    calls = answer_with(simulator, Hang(), Reply(200))
    with pytest.raises(httpx.ReadTimeout):
        await api.post(CLOSE, timeout=IMPATIENT)
    assert (await api.get(GET)).status_code == httpx.codes.OK
    assert [call.endpoint for call in calls] == ["close", "get"]


async def test_a_script_sees_paths_that_the_api_does_not_have(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """A path or method that the API does not have is "other", and no group's call."""
    calls = answer_with(simulator, Reply(599), Reply(599))
    for reply in (await api.get("/elsewhere"), await api.get(CLOSE)):
        assert reply.status_code == 599
    assert [(call.endpoint, call.reference) for call in calls] == [
        ("other", "/pro/elsewhere"),
        ("other", "/pro" + CLOSE),
    ]
    assert simulator.groups.summary()["calls"] == {}


async def test_a_script_that_fails_is_an_error_500(simulator: Simulator, api: httpx.AsyncClient) -> None:
    """The error of a script is the server's: its client gets a 500, and the next call is served."""
    calls = answer_with(simulator)
    assert (await api.post(CLOSE)).status_code == httpx.codes.INTERNAL_SERVER_ERROR
    simulator.script = None
    assert (await api.post(CLOSE)).status_code == httpx.codes.OK
    assert len(calls) == 1


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/elsewhere", 404), ("DELETE", GET, 405)])
@pytest.mark.parametrize("scripted", [False, True])
async def test_what_the_api_does_not_have(
    simulator: Simulator, api: httpx.AsyncClient, method: str, path: str, status: int, scripted: bool
) -> None:
    """An unknown path is 404 and a wrong method 405, also as the own reply of a script."""

    async def itself(_: Call, own: Own) -> Answer:
        return await own()

    simulator.script = itself if scripted else None
    assert (await api.request(method, path)).status_code == status
