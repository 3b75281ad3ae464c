"""The simulated API, over real HTTP on loopback: each documented reply, each fault, and its own records."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from click.testing import CliRunner
from pydantic import ValidationError

from worker.cli.simulate import simulate
from worker.demo.faults import CallFault, Faults, call_fault, group_fault, latency_s
from worker.demo.simulator import PROCESSING_CODE, Groups, Simulator, run_in_thread

REFERENCE = "sg_00684650028894794889609836494848"
HEADERS = {"x-api-key": "secret", "x-api-version": "1.1", "Accept": "application/json"}
CLOSE = f"/shipment_groups/{REFERENCE}/close"
GET = f"/shipment_groups/{REFERENCE}"
DROPPED = (httpx.RemoteProtocolError, httpx.ReadError)
LIMIT_S = 20.0
IMPATIENT = httpx.Timeout(LIMIT_S, read=0.05)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A simulator that listens, without faults."""
    running = Simulator(seed=7)
    await running.start()
    yield running
    await asyncio.wait_for(running.stop(), LIMIT_S)


@pytest.fixture
async def api(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it with the right headers."""
    async with httpx.AsyncClient(base_url=simulator.base_url, headers=HEADERS, timeout=LIMIT_S) as client:
        yield client


def assert_error(reply: httpx.Response, status: int, code: str, child: str | None = None) -> None:
    """The reply is the documented error body with this code and child code."""
    body = reply.json()
    assert (reply.status_code, body["code"]) == (status, code)
    assert list(body) == ["correlation_id", "code", "message", "details", "_links"]
    assert [detail["code"] for detail in body["details"]] == ([child] if child else [])


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
    """A reference that is no safe path segment is refused by its format, and no group appears."""
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
    """A throttled call carries Retry-After as told, and is no rule conflict."""
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


MIXED = Faults(
    unlocked=0.1, gone=0.1, processing_404=0.2, already_closed=0.1,
    error_500=0.2, cut_after=0.2, throttle_429=0.1,
)  # fmt: skip


async def fates(references: list[str], seed: int) -> dict[str, list[str]]:
    """What three closes of each group come to, groups called in the given order."""
    simulator = Simulator(seed=seed, faults=MIXED)
    base_url = await simulator.start()
    fate: dict[str, list[str]] = {reference: [] for reference in references}
    async with httpx.AsyncClient(base_url=base_url, headers=HEADERS, timeout=LIMIT_S) as client:
        for reference in references * 3:
            try:
                reply = await client.post(f"/shipment_groups/{reference}/close")
                fate[reference].append(str(reply.status_code))
            except DROPPED:
                fate[reference].append("dropped")
    await simulator.stop()
    assert max(record.effective_closes for record in simulator.records().values()) == 1
    return fate


async def test_a_run_can_be_repeated_by_its_seed_in_any_order() -> None:
    """The same seed gives each group the same fate whatever the order of calls; another seed does not."""
    references = [f"sg_{number:032d}" for number in range(40)]
    first = await fates(references, seed=1)
    assert await fates(references[::-1], seed=1) == first
    assert await fates(references, seed=2) != first


def test_rates_are_met_and_faults_are_exclusive() -> None:
    """Over many draws each rate is met within two points; rates of 1 always and of 0 never hit."""
    references = [f"sg_{number}" for number in range(5000)]
    groups = [group_fault(MIXED, 3, reference) for reference in references]
    calls = [call_fault(MIXED, 3, reference, 1) for reference in references]
    assert groups.count("processing_404") / 5000 == pytest.approx(0.2, abs=0.02)
    assert groups.count(None) / 5000 == pytest.approx(0.5, abs=0.02)
    assert calls.count("throttle_429") / 5000 == pytest.approx(0.1, abs=0.02)
    assert {call_fault(Faults(cut_after=1.0), 3, reference, 2) for reference in references} == {"cut_after"}
    assert {call_fault(Faults(), 3, reference, 2) for reference in references} == {None}


def test_latency_is_drawn_between_its_bounds() -> None:
    """Latency is the fixed part plus at most the jitter, and the same for the same call."""
    faults = Faults(latency_s=0.1, latency_jitter_s=0.2)
    drawn = [latency_s(faults, 1, "sg_1", call) for call in range(1, 200)]
    assert 0.1 <= min(drawn) < 0.12
    assert 0.28 < max(drawn) < 0.3
    assert drawn[0] == latency_s(faults, 1, "sg_1", 1)


@pytest.mark.parametrize(
    "wrong",
    [{"gone": 1.1}, {"gone": 0.6, "missing": 0.6}, {"latency_s": -1}, {"latency_s": "inf"}, {"typo": 1}],
)
def test_impossible_faults_are_refused(wrong: dict[str, Any]) -> None:
    """Rates outside 0..1 or adding up to more than 1, and unknown names, are errors."""
    with pytest.raises(ValidationError):
        Faults.model_validate(wrong)


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


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_runs_until_it_is_told_to_stop(stop: signal.Signals, as_json: bool) -> None:
    """`simulate` prints where it listens, serves, and ends on a signal with exit code 0 and one line."""
    command = [sys.executable, "-c", "from worker.cli.simulate import simulate; simulate()", "--seed", "3"]
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        command + ["--already-closed", "1"] + ["--json"] * as_json, cwd=root, text=True,
        env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            announced = [process.stdout.readline() for _ in range(1 if as_json else 4)]
            base_url = json.loads(announced[0])["base_url"] if as_json else announced[2].split("=")[1].strip()
            assert httpx.post(base_url + CLOSE, headers=HEADERS).status_code == httpx.codes.NOT_MODIFIED
            process.send_signal(stop)
            output, errors = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
    assert process.returncode == 0
    farewell = errors if as_json else output
    assert "Simulation over: 1 calls, 1 groups, 0 of them closed by a call." in farewell
    assert as_json or f"    export CLOSER_API_BASE_URL={base_url}\n" in announced
    assert not as_json or output == ""


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--gone", "0.6", "--missing", "0.6"], "sum to 1.2"),
        (["--api-key", ""], "api_key: String should have"),
    ],
)
def test_the_command_refuses_what_cannot_be(options: list[str], reason: str) -> None:
    """Rates that cannot be together and an empty key are wrong usage: exit code 2 and the reason."""
    result = CliRunner().invoke(simulate, options)
    assert result.exit_code == 2
    assert reason in result.output


def test_every_fault_has_an_option_and_the_help_an_example() -> None:
    """Each rate can be set on the command line, and the help shows how."""
    output = CliRunner().invoke(simulate, ["--help"], terminal_width=200).output
    for name in get_args(CallFault):
        assert "--" + name.replace("_", "-") in output
    assert "closer simulate --port 8090" in output
    assert "SIMULATED" in output
