"""Runs the console in this process until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import uuid
from collections.abc import Iterator

from uvicorn import Config, Server
from uvicorn.server import HANDLED_SIGNALS

from tasks.errors import StoreUnavailable
from tasks.ledger.ledger import Ledger
from tasks.outage_log import OutageLog
from worker.construct import ledger_of
from worker.operations.notifier import Notifier
from worker.patience import pauses
from worker.settings import Settings
from worker.store.connect import connect
from worker.web import listen
from worker.web.app import build
from worker.web.local import is_here
from worker.web.protocol import PatientProtocol
from worker.web.store_time import store_time

_log = logging.getLogger("closer.console")
_STOP_S = 10
_IDLE_S = 60
_CONNECTIONS = 1_000
_HEADERS_MOST = 32 * 1024


async def serve(settings: Settings, *, next_free: bool, owned: bool) -> None:
    """Serve until SIGTERM or Ctrl-C, then end what is being answered, for ten seconds at most.

    `next_free`: take the next free port where CLOSER_HTTP_PORT is taken. `owned`: stop also when standard input ends,
    as it does when the process that holds its other end is gone. Raises ConfigurationError and CloserError.
    """
    listen.refuse_in_the_clear(settings)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in HANDLED_SIGNALS:
        loop.add_signal_handler(number, stop.set)
    if owned:
        loop.add_reader(sys.stdin.fileno(), _heard, loop, stop)
    redis = connect(settings)
    try:
        ledger = ledger_of(settings, redis)
        if await _may_listen(settings, ledger, stop):
            await _run(settings, ledger, stop, next_free=next_free)
    finally:
        await redis.aclose()


def _heard(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Stop at the end of standard input. What is said there means nothing."""
    if not os.read(sys.stdin.fileno(), 1024):
        loop.remove_reader(sys.stdin.fileno())
        stop.set()


async def _run(settings: Settings, ledger: Ledger, stop: asyncio.Event, *, next_free: bool) -> None:
    bound = listen.listen(settings.http_host, settings.http_port, next_free=next_free)
    server = _Server(_config(settings, ledger))
    told = asyncio.create_task(server.stop_when(stop))
    alerts = asyncio.create_task(_send_alerts(settings, ledger))
    _log.info("the console is at %s", settings.public_url or listen.address_of(bound))
    try:
        await server.serve(sockets=[bound])
    finally:
        told.cancel()
        alerts.cancel()
    _log.info("the console has stopped")


async def _send_alerts(settings: Settings, ledger: Ledger) -> None:
    """Send the fleet's alerts, if no worker does. So somebody is told when no worker lives."""
    notifier = Notifier.of(settings, ledger, f"console:{uuid.uuid4().hex}")
    if notifier is not None:
        try:
            await notifier.run()
        finally:
            await notifier.aclose()


async def _may_listen(settings: Settings, ledger: Ledger, stop: asyncio.Event) -> bool:
    """Return whether to go on. Beyond this machine, wait until the store says that there is a token.

    Raises ConfigurationError when there is none.
    """
    outage, waits = OutageLog("looking for tokens before it listens"), pauses()
    while not (is_here(settings.http_host) or stop.is_set()):
        try:
            async with store_time():
                found = await ledger.tokens.look([""])
        except StoreUnavailable as error:
            outage.begins(error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), next(waits))
            continue
        outage.ends()
        listen.refuse_without_tokens(settings, found.count)
        break
    return not stop.is_set()


def _config(settings: Settings, ledger: Ledger) -> Config:
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # a scanner that speaks no HTTP is not worth a line each
    return Config(
        build(settings, ledger),
        http=PatientProtocol,
        ws="none",
        lifespan="off",
        proxy_headers=False,  # who a request is from is never taken from a header
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_keep_alive=_IDLE_S,
        timeout_graceful_shutdown=_STOP_S,
        limit_concurrency=_CONNECTIONS,
        h11_max_incomplete_event_size=_HEADERS_MOST,
    )


class _Server(Server):
    """uvicorn's server, which is told to stop by an event. uvicorn would end the process by the signal itself."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the caller."""
        yield

    async def stop_when(self, stop: asyncio.Event) -> None:
        """Begin to stop when `stop` is set. From then on a second signal ends the process at once."""
        await stop.wait()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)
        self.should_exit = True
