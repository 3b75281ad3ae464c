"""A simulated Sorted API on real HTTP: it answers as documented, goes wrong as told, remembers every call.

Under the base path (`/pro`) it speaks the documented API; under `/_simulator` other processes read its
records and change its settings. Facts come from the "Shipments" API pages (PRO v2); what is ours says so.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import partial
from hashlib import blake2b
from threading import Thread
from typing import Any, Literal, NamedTuple, assert_never
from uuid import UUID, uuid4

from aiohttp import web
from pydantic import ValidationError
from yarl import URL

from worker.demo.faults import CallFault, Faults, GroupFault, Settings, call_fault, group_fault, latency_s

State = Literal["open", "locked", "closed"]
Endpoint = Literal["close", "lock", "unlock", "get", "get_custom"]
STATES: tuple[State, ...] = ("open", "locked", "closed")
TARGET: dict[Endpoint, State] = {"close": "closed", "lock": "locked", "unlock": "open"}

# Documented only as "a child code for processing"; this name is ours, and nothing should match on it.
PROCESSING_CODE = "shipment_group_processing"

REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
HANG_LIMIT_S = 120.0
HANG_LOOK_S = 0.05
STOP_LIMIT_S = 2.0


@dataclass(slots=True)
class Group:
    """One shipment group and what was done to it; times are UTC.

    `calls` counts what arrived at any endpoint, `close_calls` every close that arrived, whatever became of
    it, and `effective_closes` how often the group really went to closed, which is at most once.
    """

    reference: str
    state: State
    custom_reference: str
    version: int
    created: datetime
    locked: datetime | None = None
    closed: datetime | None = None
    fault: GroupFault | None = None
    calls: int = 0
    close_calls: int = 0
    effective_closes: int = 0

    def move(self, target: State, now: datetime) -> None:
        """Go to `target`. Whether the API allows it is the caller's question."""
        self.state = target
        if target == "closed":
            self.closed = now
            self.effective_closes += 1
        else:
            self.locked = now if target == "locked" else None

    def as_json(self) -> dict[str, Any]:
        """The record for another process, times in ISO 8601."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values}


class Groups:
    """Every group by reference, and the calls in total by (endpoint, status)."""

    def __init__(self, seed: int = 0, unknown: Literal["locked", "missing"] = "locked") -> None:
        self.seed = seed
        self.unknown = unknown
        self.calls: Counter[tuple[Endpoint, str]] = Counter()
        self.first_call: datetime | None = None
        self.last_call: datetime | None = None
        self._by_reference: dict[str, Group] = {}
        self._by_custom: dict[str, list[Group]] = {}

    def add(
        self,
        reference: str,
        state: State = "locked",
        custom_reference: str | None = None,
        fault: GroupFault | None = None,
    ) -> Group:
        """Put a group in place before anything asks for it; its fault is the given one and never drawn.

        Raises ValueError when the reference exists, or when a group that is not closed has that custom
        reference: it is unique among open groups, and `version` counts its uses (API page, create groups).
        """
        if reference in self._by_reference:
            raise ValueError(f"group {reference} exists already")
        custom = custom_reference or str(UUID(bytes=blake2b(reference.encode(), digest_size=16).digest()))
        namesakes = self._by_custom.setdefault(custom, [])
        if namesakes and namesakes[-1].state != "closed":
            raise ValueError(f"{custom} is the custom reference of {namesakes[-1].reference}, not closed yet")
        now = datetime.now(UTC)
        group = Group(reference, state, custom, len(namesakes) + 1, created=now, fault=fault)
        group.locked = None if state == "open" else now
        group.closed = now if state == "closed" else None
        namesakes.append(group)
        self._by_reference[reference] = group
        return group

    def get(self, reference: str, faults: Faults) -> Group:
        """The group of this reference, made on demand with the fault that the seed gives it."""
        return self._by_reference.get(reference) or self._appear(reference, faults)

    def _appear(self, reference: str, faults: Faults) -> Group:
        fault = "missing" if self.unknown == "missing" else group_fault(faults, self.seed, reference)
        state: State = "open" if fault == "unlocked" else "closed" if fault == "already_closed" else "locked"
        return self.add(reference, state, fault=fault)

    def get_custom(self, custom_reference: str, version: str) -> Group | None:
        """The group by the customer's own name; `version` is a number or `latest`."""
        namesakes = self._by_custom.get(custom_reference, [])
        index = len(namesakes) if version == "latest" else int(version)
        return namesakes[index - 1] if 1 <= index <= len(namesakes) else None

    def arrived(self, endpoint: Endpoint, group: Group | None) -> int:
        """Note a call; its number within the group, from 1 (0 without a group)."""
        self.last_call = datetime.now(UTC)
        self.first_call = self.first_call or self.last_call
        if group is None:
            return 0
        group.calls += 1
        group.close_calls += endpoint == "close"
        return group.calls

    def records(self) -> dict[str, Group]:
        """Every record by reference; the dictionary is a copy, the records are the living ones."""
        return self._by_reference.copy()

    def summary(self) -> dict[str, Any]:
        """Totals: groups by state, calls by endpoint and status ("dropped": no reply was sent), closes."""
        records = self.records().values()
        states = Counter(group.state for group in records)
        calls: dict[str, dict[str, int]] = {}
        for (endpoint, status), count in sorted(self.calls.copy().items()):
            calls.setdefault(endpoint, {})[status] = count
        return {
            "groups": {state: states[state] for state in STATES},
            "calls": calls,
            "close_calls": sum(group.close_calls for group in records),
            "effective_closes": sum(group.effective_closes for group in records),
            "effective_closes_max": max((group.effective_closes for group in records), default=0),
            "first_call": self.first_call.isoformat() if self.first_call else None,
            "last_call": self.last_call.isoformat() if self.last_call else None,
        }


class Reply(NamedTuple):
    """What the API says. Without a status the connection is dropped instead."""

    status: int | None
    body: bytes | None = None
    content_type: str = "application/json"
    headers: dict[str, str] | None = None


DROPPED = Reply(None)
UNCHANGED = Reply(304)
PROXY_PAGE = b"<!doctype html><title>Simulated proxy</title><h1>Please sign in to the network</h1>"
MAINTENANCE_PAGE = b"<!doctype html><title>503</title><h1>Service Unavailable (simulated)</h1>"


def _json(status: int, content: object, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, json.dumps(content).encode(), headers=headers)


def error(status: int, code: str, message: str, child: str = "", subject: str = "") -> Reply:
    """The documented error body; `child` is the code of its one detail, `subject` that detail's property."""
    details = [{"property": subject, "code": child, "message": message}] if child else []
    body = {"correlation_id": str(uuid4()), "code": code, "message": message, "details": details}
    return _json(status, {**body, "_links": None})


def check_headers(request: web.BaseRequest, api_key: str | None) -> Reply | None:
    """The refusal that the headers earn, or None (API page, authentication and versions)."""
    given = request.headers.get("x-api-key")
    if not given or (api_key is not None and given != api_key):
        return error(401, "unauthorised", "The API key is missing or wrong")
    if not request.headers.get("x-api-version"):
        return error(400, "validation_error", "A header is missing", "header_required", "x-api-version")
    return None


def refusal(group: Group, call: int, faults: Faults) -> Reply | None:
    """What a group's own fault makes of its n-th call, at every endpoint alike; None: nothing."""
    match group.fault:
        case "gone":
            return error(410, "gone", f"Shipment group {group.reference} was removed")
        case "forbidden":
            return error(403, "forbidden", "This account may not do that")
        case "missing":
            return error(404, "not_found", f"Shipment group {group.reference} was not found")
        case "processing_404" if call <= faults.processing_calls:
            message = f"Shipment group {group.reference} is still being processed"
            return error(404, "not_found", message, PROCESSING_CODE, "reference")
        case "processing_404" | "unlocked" | "already_closed" | None:
            return None
        case _:
            assert_never(group.fault)


def change(group: Group, endpoint: Endpoint, base_url: str) -> Reply:
    """Close, lock or unlock (API pages of these): 200; 304 when it is so already; 409 when it cannot be."""
    target = TARGET[endpoint]
    if group.state == target:
        return UNCHANGED
    if group.state == "closed" or (group.state == "open" and target == "closed"):
        message = f"Shipment group {group.reference} is {group.state}: it cannot become {target}"
        return error(409, "conflict", message, "invalid_state_for_operation", "state")
    group.move(target, datetime.now(UTC))
    done = {"closed": "closed", "locked": "locked", "open": "unlocked"}[target]
    return _json(200, resource_result(group, done, base_url))


def resource_result(group: Group, done: str, base_url: str) -> dict[str, Any]:
    """The documented body of a success; its link can be followed here."""
    href = f"{base_url}/shipment_groups/{group.reference}"
    return {
        "reference": group.reference,
        "custom_reference": group.custom_reference,
        "message": f"Shipment group {group.reference} has been {done} successfully",
        "_links": [{"href": href, "rel": "self", "reference": group.reference, "type": "shipment_group"}],
    }


def describe(group: Group) -> Reply:
    """The shipment group object (API page, get shipment group); our groups hold one shipment."""
    record = group.as_json()
    shown = ("reference", "custom_reference", "version", "state", "created", "locked", "closed")
    shipments = ["sp_" + group.reference.removeprefix("sg_")]
    return _json(200, {**{key: record[key] for key in shown}, "shipments": shipments})


def faulty(fault: CallFault, faults: Faults) -> Reply:
    """The reply of a call with this fault. None of this is documented; gateways and proxies do it."""
    match fault:
        case "error_500":
            return error(500, "internal_server_error", "Something went wrong (simulated)")
        case "error_503_html":
            return Reply(503, MAINTENANCE_PAGE, "text/html")
        case "throttle_429":
            headers = None if faults.retry_after_s is None else {"Retry-After": str(faults.retry_after_s)}
            return _json(429, {"message": "Too many requests"}, headers)
        case "cut_before" | "cut_after":
            return DROPPED
        case "unusable_200":
            return Reply(200, PROXY_PAGE, "text/html")
        case _:
            assert_never(fault)


class Simulator:
    """The server. Fill `groups` before or while it runs; `configure` changes the settings at any time.

    The same seed and faults give every group and every call the same fate in each run.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        faults: Faults | None = None,
        api_key: str | None = None,
        unknown: Literal["locked", "missing"] = "locked",
        base_path: str = "/pro",
    ) -> None:
        self.groups = Groups(seed, unknown)
        self.settings = Settings(api_key=api_key, faults=faults or Faults())
        self.base_url = ""
        self._base_path = base_path
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return the base URL; port 0 takes a free one. Raises OSError when that cannot be."""
        if self._runner is not None:
            raise RuntimeError(f"the simulator runs already at {self.base_url}")
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=STOP_LIMIT_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, backlog=1024).start()
        except OSError:
            await self.stop()
            raise
        bound = self._runner.addresses[0][1]
        self.base_url = str(URL.build(scheme="http", host=host, port=bound, path=self._base_path))
        return self.base_url

    async def stop(self) -> None:
        """Stop listening; calls that are under way get STOP_LIMIT_S seconds. The records stay."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def configure(self, **changes: Any) -> Settings:
        """Change `outage`, `api_key` or (some of the) `faults` from now on; safe from any thread.

        Groups that exist keep their own fault. Raises pydantic.ValidationError.
        """
        self.settings = self.settings.changed(changes)
        return self.settings

    def records(self) -> dict[str, Group]:
        """Every group's record by reference."""
        return self.groups.records()

    def _app(self) -> web.Application:
        app = web.Application()
        groups = self._base_path + "/shipment_groups"
        for endpoint in TARGET:
            app.router.add_post(f"{groups}/{{reference}}/{endpoint}", partial(self._serve, endpoint))
        app.router.add_get(f"{groups}/{{reference}}", partial(self._serve, "get"))
        custom = f"{groups}/custom_reference/{{custom_reference}}/{{version}}"
        app.router.add_get(custom, partial(self._serve, "get_custom"))
        app.router.add_get("/_simulator/groups", self._show_groups)
        app.router.add_get("/_simulator/summary", self._show_summary)
        app.router.add_post("/_simulator/settings", self._change_settings)
        return app

    async def _serve(self, endpoint: Endpoint, request: web.Request) -> web.Response:
        group = self._find(endpoint, request)
        call = self.groups.arrived(endpoint, group if isinstance(group, Group) else None)
        reply = await self._outage(request) or check_headers(request, self.settings.api_key)
        if reply is None:
            reply = await self._answer(endpoint, group, call) if isinstance(group, Group) else group
        self.groups.calls[endpoint, str(reply.status or "dropped")] += 1
        return _send(request, reply)

    def _find(self, endpoint: Endpoint, request: web.Request) -> Group | Reply:
        where = request.match_info
        if endpoint == "get_custom":
            return self._find_custom(where["custom_reference"], where["version"])
        if REFERENCE.fullmatch(where["reference"]):
            return self.groups.get(where["reference"], self.settings.faults)
        return error(400, "validation_error", "Malformed reference", "invalid_reference_format", "reference")

    def _find_custom(self, custom_reference: str, version: str) -> Group | Reply:
        if not re.fullmatch(r"latest|[0-9]{1,9}", version):
            return error(400, "validation_error", "Malformed version", "invalid_reference_format", "version")
        missing = error(404, "not_found", f"Shipment group {custom_reference} was not found")
        return self.groups.get_custom(custom_reference, version) or missing

    async def _outage(self, request: web.Request) -> Reply | None:
        outage = self.settings.outage
        match outage:
            case "none":
                return None
            case "500":
                return error(500, "internal_server_error", "The API is down (simulated)")
            case "refuse":
                return DROPPED
            case "hang":
                return await self._hang(request)
            case _:
                assert_never(outage)

    async def _hang(self, request: web.Request) -> Reply:
        """No reply while the outage lasts, the client waits and the simulator runs, HANG_LIMIT_S at most."""
        for _ in range(int(HANG_LIMIT_S / HANG_LOOK_S)):
            if self.settings.outage != "hang" or self._runner is None or request.transport is None:
                break
            await asyncio.sleep(HANG_LOOK_S)
        return DROPPED

    async def _answer(self, endpoint: Endpoint, group: Group, call: int) -> Reply:
        """Wait, then take effect or go wrong; the effect comes also when the client has gone meanwhile."""
        faults, seed = self.settings.faults, self.groups.seed
        delay_s = latency_s(faults, seed, group.reference, call)
        if delay_s:
            await asyncio.sleep(delay_s)
        spared = faults.close_only and endpoint != "close"
        fault = None if spared else call_fault(faults, seed, group.reference, call)
        if fault is not None and fault != "cut_after":
            return faulty(fault, faults)
        reply = refusal(group, call, faults) or self._act(endpoint, group)
        return reply if fault is None else faulty(fault, faults)

    def _act(self, endpoint: Endpoint, group: Group) -> Reply:
        return change(group, endpoint, self.base_url) if endpoint in TARGET else describe(group)

    async def _show_groups(self, _: web.Request) -> web.Response:
        return web.json_response([group.as_json() for group in self.records().values()])

    async def _show_summary(self, _: web.Request) -> web.Response:
        return web.json_response(self.groups.summary())

    async def _change_settings(self, request: web.Request) -> web.Response:
        try:
            settings = self.configure(**json.loads(await request.read()))
        except ValidationError as wrong:
            return web.json_response(text=wrong.json(include_input=False), status=400)
        except (ValueError, TypeError):
            return web.json_response({"message": "a JSON object is needed"}, status=400)
        return web.json_response(settings.model_dump(exclude={"api_key"}))


def _send(request: web.Request, reply: Reply) -> web.Response:
    if reply.status is None:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()  # never sent: the connection is gone
    if reply.body is None:
        return web.Response(status=reply.status)
    return web.Response(status=reply.status, body=reply.body, content_type=reply.content_type, headers=reply.headers)


@contextmanager
def run_in_thread(
    simulator: Simulator | None = None, *, host: str = "127.0.0.1", port: int = 0, timeout_s: float = 10.0
) -> Iterator[tuple[str, Simulator]]:
    """Run a simulator beside synchronous code: gives its base URL and itself, and stops it at the end.

    `timeout_s` bounds the start, and the stop. Raises OSError when it cannot listen, TimeoutError when late.
    """
    simulator = simulator or Simulator()
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="simulator", daemon=True)
    thread.start()
    try:
        started = asyncio.run_coroutine_threadsafe(simulator.start(host, port), loop)
        yield started.result(timeout_s), simulator
    finally:
        try:
            asyncio.run_coroutine_threadsafe(simulator.stop(), loop).result(timeout_s)
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(timeout_s)
            if not thread.is_alive():
                loop.close()
