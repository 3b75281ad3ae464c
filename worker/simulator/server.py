"""A simulated Sorted API on real HTTP: it answers as documented, goes wrong as told, remembers every call.

Under the base path (`/pro`) it speaks the documented API; under `/_simulator` other processes read its
records and change its settings.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Thread
from typing import Any, Literal, assert_never

from aiohttp import web
from pydantic import ValidationError
from yarl import URL

from worker.simulator.faults import Faults, Settings, call_fault, latency_s
from worker.simulator.groups import Endpoint, Group, Groups
from worker.simulator.replies import DROPPED, TARGET, Reply, change, check_headers, describe, error, faulty, refusal

REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
HANG_LIMIT_S = 120.0
HANG_LOOK_S = 0.05
STOP_LIMIT_S = 2.0


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
