"""A simulated Sorted API on real HTTP: it answers as documented, goes wrong as told, and counts every call.

Under the base path (`/pro`) it speaks the documented API. Under `/_simulator` other processes read its records and
change its settings.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Thread
from typing import Any, Literal, assert_never

from aiohttp import web
from aiohttp.typedefs import Handler as WebHandler
from pydantic import ValidationError
from yarl import URL

from worker.simulator.faults import Faults, Settings, call_fault, latency_s
from worker.simulator.groups import Group, Groups
from worker.simulator.replies import TARGET, change, check_headers, describe, error, faulty, refusal
from worker.simulator.script import DROPPED, Answer, Call, Endpoint, Reply, Script
from worker.simulator.wire import Connections, hang, response

REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
STOP_LIMIT_S = 2.0


class Simulator:
    """The simulated API. `groups` may be filled before it runs or meanwhile; `configure` changes settings at any time.

    The same seed and faults give every group and every call the same fate in each run. A `script` decides about each
    call before the faults do, and may ask for the simulator's own reply (see `script.py`).
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        faults: Faults | None = None,
        api_key: str | None = None,
        unknown: Literal["locked", "missing"] = "locked",
        base_path: str = "/pro",
        script: Script | None = None,
        stop_limit_s: float = STOP_LIMIT_S,
    ) -> None:
        """`api_key`: the only key that is accepted; None for any. `unknown`: how a group that nobody has added is made.

        `base_path`: the path before the API's own. `stop_limit_s`: how long calls may take to end when it stops (s).
        """
        self.groups = Groups(seed, unknown)
        self.settings = Settings(api_key=api_key, faults=faults or Faults())
        self.script = script
        self.base_url = ""
        self._base_path = base_path
        self._stop_limit_s = stop_limit_s
        self._connections = Connections()
        self._runner: web.AppRunner | None = None

    @property
    def connections(self) -> int:
        """On how many connections calls have come so far."""
        return self._connections.count

    async def start(self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> str:
        """Listen, and return the base URL.

        `port`: 0 takes a free one. `tls`: makes it https. Raises OSError when it cannot listen, and RuntimeError when
        it is running.
        """
        if self._runner is not None:
            raise RuntimeError(f"the simulator runs already at {self.base_url}")
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=self._stop_limit_s)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, backlog=2048, ssl_context=tls).start()
        except OSError:
            await self.stop()
            raise
        bound, scheme = self._runner.addresses[0][1], "https" if tls else "http"
        self.base_url = str(URL.build(scheme=scheme, host=host, port=bound, path=self._base_path))
        return self.base_url

    async def stop(self) -> None:
        """Stop listening. Calls in flight get `stop_limit_s` seconds to end. The records stay."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    def configure(self, **changes: Any) -> Settings:
        """Change `outage`, `api_key`, or some or all of the `faults`, from now on. It may be called from any thread.

        Groups that exist keep their own fault. Raises pydantic.ValidationError.
        """
        self.settings = self.settings.changed(changes)
        return self.settings

    def records(self) -> dict[str, Group]:
        """Return every group's record by reference."""
        return self.groups.records()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._unknown_path])
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

    @web.middleware
    async def _unknown_path(self, request: web.Request, handler: WebHandler) -> web.StreamResponse:
        """Give a script also the paths and methods that the API does not have."""
        if self.script is None or request.match_info.http_exception is None:
            return await handler(request)
        return await self._serve("other", request)

    async def _serve(self, endpoint: Endpoint, request: web.Request) -> web.Response:
        group = self._find(endpoint, request)
        known = endpoint != "other"
        number = self.groups.arrived(endpoint, group if isinstance(group, Group) else None) if known else 0
        connection = self._connections.number(request)
        own = partial(self._own, endpoint, group, number, request)
        if self.script is None:
            answer = await own()
        else:
            answer = await self.script(await _call(endpoint, number, connection, request), own)
        if known:
            self.groups.calls[endpoint, str(answer.status) if isinstance(answer, Reply) else "dropped"] += 1
        return await response(request, answer, lambda: self._runner is not None)

    async def _own(self, endpoint: Endpoint, group: Group | Reply, number: int, request: web.Request) -> Answer:
        if endpoint == "other":
            assert isinstance(group, Reply)
            return group
        refused = await self._outage(request) or check_headers(request.headers, self.settings.api_key)
        if refused:
            return refused
        return await self._act(endpoint, group, number) if isinstance(group, Group) else group

    def _find(self, endpoint: Endpoint, request: web.Request) -> Group | Reply:
        where = request.match_info
        if where.http_exception is not None:
            return Reply(where.http_exception.status)
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

    async def _outage(self, request: web.Request) -> Answer | None:
        outage = self.settings.outage
        match outage:
            case "none":
                return None
            case "500":
                return error(500, "internal_server_error", "The API is down (simulated)")
            case "refuse":
                return DROPPED
            case "hang":
                await hang(request, lambda: self.settings.outage == "hang" and self._runner is not None)
                return DROPPED
            case _:
                assert_never(outage)

    async def _act(self, endpoint: Endpoint, group: Group, call: int) -> Answer:
        """Wait, then take effect or go wrong. The call takes effect even if the client has gone meanwhile."""
        faults, seed = self.settings.faults, self.groups.seed
        delay_s = latency_s(faults, seed, group.reference, call)
        if delay_s:
            await asyncio.sleep(delay_s)
        spared = faults.close_only and endpoint != "close"
        fault = None if spared else call_fault(faults, seed, group.reference, call)
        if fault is not None and fault != "cut_after":
            return faulty(fault, faults)
        reply = refusal(group, call, faults) or self._effect(endpoint, group)
        return reply if fault is None else faulty(fault, faults)

    def _effect(self, endpoint: Endpoint, group: Group) -> Reply:
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


async def _call(endpoint: Endpoint, number: int, connection: int, request: web.Request) -> Call:
    reference = request.match_info.get("reference") or request.match_info.get("custom_reference") or request.path
    at, on, body = time.monotonic(), time.time(), await request.read()
    return Call(endpoint, reference, number, connection, request.method, request.path_qs, request.headers, body, at, on)


@contextmanager
def run_in_thread(
    simulator: Simulator | None = None, *, host: str = "127.0.0.1", port: int = 0, timeout_s: float = 10.0
) -> Iterator[tuple[str, Simulator]]:
    """Run a simulator in a thread, beside synchronous code. Yield its base URL and itself, and stop it at the end.

    `timeout_s`: the limit for its start, and for its stop. Raises OSError when it cannot listen, and TimeoutError when
    it is too late.
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
