"""A simulated Sorted API on real HTTP: it answers as documented, goes wrong as told, and counts every call.

Under the base path (`/pro`) it speaks the documented API. Under `/_simulator` other processes read its records
and change its settings.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import Thread
from typing import Any, Literal, assert_never

from pydantic import ValidationError
from yarl import URL

from worker.simulator.faults import Faults, Settings, call_fault, latency_s
from worker.simulator.groups import Group, Groups
from worker.simulator.http import Connection, Request, Server
from worker.simulator.replies import TARGET, change, check_headers, describe, error, faulty, json_reply, refusal
from worker.simulator.route import Route, route
from worker.simulator.script import DROPPED, Answer, Call, Hang, Raw, Reply, Script

REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
CONTROL = "/_simulator"
HANG_LIMIT_S = 120.0
HANG_LOOK_S = 0.05
STOP_LIMIT_S = 2.0


class Simulator:
    """The simulated API. Fill `groups` before or while it runs; `configure` changes the settings at any time.

    The same seed and faults give every group and every call the same fate in each run. A `script` decides each
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
    ) -> None:
        self.groups = Groups(seed, unknown)
        self.settings = Settings(api_key=api_key, faults=faults or Faults())
        self.script = script
        self.base_url = ""
        self._base_path = base_path
        self._server = Server(self._serve)

    @property
    def connections(self) -> int:
        """How many connections clients have opened so far."""
        return self._server.connections

    async def start(self, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None) -> str:
        """Listen, and return the base URL; port 0 takes a free one, `tls` makes it https.

        Raises OSError when it cannot listen, and RuntimeError when it runs already.
        """
        if self._server.running:
            raise RuntimeError(f"the simulator runs already at {self.base_url}")
        bound = await self._server.start(host, port, tls)
        scheme = "https" if tls else "http"
        self.base_url = str(URL.build(scheme=scheme, host=host, port=bound, path=self._base_path))
        return self.base_url

    async def stop(self, limit_s: float = STOP_LIMIT_S) -> None:
        """Stop listening. Calls that are under way get `limit_s` seconds. The records stay."""
        await self._server.stop(limit_s)

    def configure(self, **changes: Any) -> Settings:
        """Change `outage`, `api_key` or (some of the) `faults` from now on; safe from any thread.

        Groups that exist keep their own fault. Raises pydantic.ValidationError.
        """
        self.settings = self.settings.changed(changes)
        return self.settings

    def records(self) -> dict[str, Group]:
        """Every group's record by reference."""
        return self.groups.records()

    async def _serve(self, request: Request, connection: Connection) -> None:
        if request.path.startswith(f"{CONTROL}/"):
            connection.send(self._control(request), request)
            return
        answer = await self._answer(request, connection)
        match answer:
            case Reply():
                connection.send(answer, request)
            case Raw():
                await connection.send_raw(answer)
            case Hang():
                await self._hang(connection, lambda: True)
                await connection.send_raw(DROPPED)
            case _:
                assert_never(answer)

    async def _answer(self, request: Request, connection: Connection) -> Answer:
        """The script's answer, or the simulator's own without a script; it is counted either way."""
        where = route(request.method, request.path, self._base_path)
        group = self._find(where)
        known = where.endpoint != "other"
        number = self.groups.arrived(where.endpoint, group if isinstance(group, Group) else None) if known else 0
        own = partial(self._own, where, group, number, request, connection)
        if self.script is None:
            answer = await own()
        else:
            answer = await self.script(_call(where, number, request, connection), own)
        if known:
            self.groups.calls[where.endpoint, str(answer.status) if isinstance(answer, Reply) else "dropped"] += 1
        return answer

    async def _own(
        self, where: Route, group: Group | Reply, number: int, request: Request, connection: Connection
    ) -> Answer:
        if where.endpoint == "other":
            return Reply(where.status)
        refused = await self._outage(connection) or check_headers(request.headers, self.settings.api_key)
        if refused:
            return refused
        return await self._act(where, group, number) if isinstance(group, Group) else group

    def _find(self, where: Route) -> Group | Reply:
        if where.endpoint == "other":
            return Reply(where.status)
        if where.endpoint == "get_custom":
            return self._find_custom(where.reference, where.version)
        if REFERENCE.fullmatch(where.reference):
            return self.groups.get(where.reference, self.settings.faults)
        return error(400, "validation_error", "Malformed reference", "invalid_reference_format", "reference")

    def _find_custom(self, custom_reference: str, version: str) -> Group | Reply:
        if not re.fullmatch(r"latest|[0-9]{1,9}", version):
            return error(400, "validation_error", "Malformed version", "invalid_reference_format", "version")
        missing = error(404, "not_found", f"Shipment group {custom_reference} was not found")
        return self.groups.get_custom(custom_reference, version) or missing

    async def _outage(self, connection: Connection) -> Answer | None:
        outage = self.settings.outage
        match outage:
            case "none":
                return None
            case "500":
                return error(500, "internal_server_error", "The API is down (simulated)")
            case "refuse":
                return DROPPED
            case "hang":
                await self._hang(connection, lambda: self.settings.outage == "hang")
                return DROPPED
            case _:
                assert_never(outage)

    async def _hang(self, connection: Connection, lasts: Callable[[], bool]) -> None:
        """Wait while `lasts` holds, the client waits and the simulator runs, HANG_LIMIT_S at most."""
        for _ in range(int(HANG_LIMIT_S / HANG_LOOK_S)):
            if connection.gone or not self._server.running or not lasts():
                break
            await asyncio.sleep(HANG_LOOK_S)

    async def _act(self, where: Route, group: Group, call: int) -> Answer:
        """Wait, then take effect or go wrong. The effect comes also when the client has gone meanwhile."""
        faults, seed = self.settings.faults, self.groups.seed
        delay_s = latency_s(faults, seed, group.reference, call)
        if delay_s:
            await asyncio.sleep(delay_s)
        spared = faults.close_only and where.endpoint != "close"
        fault = None if spared else call_fault(faults, seed, group.reference, call)
        if fault is not None and fault != "cut_after":
            return faulty(fault, faults)
        reply = refusal(group, call, faults) or self._effect(where, group)
        return reply if fault is None else faulty(fault, faults)

    def _effect(self, where: Route, group: Group) -> Reply:
        return change(group, where.endpoint, self.base_url) if where.endpoint in TARGET else describe(group)

    def _control(self, request: Request) -> Reply:
        match request.method, request.path.removeprefix(CONTROL):
            case "GET", "/groups":
                return json_reply(200, [group.as_json() for group in self.records().values()])
            case "GET", "/summary":
                return json_reply(200, self.groups.summary())
            case "POST", "/settings":
                return self._change_settings(request.body)
            case _:
                return Reply(404)

    def _change_settings(self, body: bytes) -> Reply:
        try:
            settings = self.configure(**json.loads(body))
        except ValidationError as wrong:
            return Reply(400, wrong.json(include_input=False).encode())
        except (ValueError, TypeError):
            return json_reply(400, {"message": "a JSON object is needed"})
        return json_reply(200, settings.model_dump(exclude={"api_key"}))


def _call(where: Route, number: int, request: Request, connection: Connection) -> Call:
    return Call(
        where.endpoint, where.reference, number, connection.number,
        request.method, request.target, request.headers, request.body, time.monotonic(), time.time(),
    )  # fmt: skip


@contextmanager
def run_in_thread(
    simulator: Simulator | None = None, *, host: str = "127.0.0.1", port: int = 0, timeout_s: float = 10.0
) -> Iterator[tuple[str, Simulator]]:
    """Run a simulator beside synchronous code. Yields its base URL and itself, and stops it at the end.

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
