"""The loop of a running worker: one asyncio loop in one thread, started and stopped from outside."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import suppress
from typing import Any

from tasks.errors import CloserError, ConfigurationError, NotTaken
from worker.broker.celery_settings import BATCH_DEADLINE_S
from worker.dispatch.sweep import Dispatch
from worker.observe.error_words import in_words
from worker.process.background import GOODBYE_S, Background
from worker.process.compose import Components, compose
from worker.process.supervisor import Supervisor
from worker.settings import Settings

_log = logging.getLogger("closer.runtime")
_START_S = 30.0
WRONG_CONFIGURATION = 2  # the exit code


class Runtime:
    """One worker's loop and its parts. `died` is told, once, the exit code when a part ends that must not."""

    def __init__(
        self,
        settings: Settings,
        dispatch: Dispatch,
        died: Callable[[int], None],
        consume: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """`consume` is told whether task messages may be taken, see `compose`."""
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self._settings = settings
        self._dispatch = dispatch
        self._died = died
        self._consume = consume
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, name="closer-loop", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._components: Components
        self._open = asyncio.Event()
        self._drain = asyncio.Event()

    def start(self) -> None:
        """Start the loop. Raises what kept it from starting."""
        self._thread.start()
        try:
            self._ready.result(timeout=_START_S)
        except FutureTimeout:
            raise CloserError(f"its loop did not start within {_START_S:.0f} s; start it again") from None

    def open(self) -> None:
        """Begin to take in events and to dispatch."""
        with suppress(RuntimeError):  # told to stop, just before Celery was ready: the loop has ended
            self._loop.call_soon_threadsafe(self._open.set)

    def hand_over(self, references: Any, origin: str) -> None:
        """Have the loop take a batch in; for a thread of Celery's pool. Every wait in it ends. Raises NotTaken."""
        batch = self._components.messages.take_in_when_possible(references, origin)
        try:
            future = asyncio.run_coroutine_threadsafe(batch, self._loop)
        except RuntimeError:  # the loop has ended, and Celery's consumer not yet
            batch.close()
            raise NotTaken("this process is stopping") from None
        try:
            future.result(timeout=BATCH_DEADLINE_S)
        except FutureTimeout:
            future.cancel()
            raise NotTaken("there was no room for it in time") from None
        except CancelledError:
            raise NotTaken("this process is stopping") from None

    def drain(self) -> None:
        """Begin to stop: nothing new is begun, what is in flight ends. Returns at once."""
        with suppress(RuntimeError, AttributeError):  # the loop has ended, or has not begun
            self._loop.call_soon_threadsafe(self._drain.set)

    def stop(self) -> None:
        """Stop; returns when all is written down, or after `GOODBYE_S` without it (leases then end by themselves)."""
        if self._thread.is_alive():
            self.drain()
            self._thread.join(GOODBYE_S)

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:
            if not self._ready.done():
                self._ready.set_exception(error)
            elif self._drain.is_set():
                _log.error("the worker stopped, but not cleanly; leases end by themselves", exc_info=error)
            else:
                _log.critical("%s; this process stops, start it again", error, exc_info=error)
                self._died(os.EX_SOFTWARE)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._components = compose(self._settings, self._dispatch, self._consume, self.name)
        background = Background(self._components)
        await self._components.vitals.hello()
        self._ready.set_result(None)
        supervisor = Supervisor(background.parts(self._open))
        try:
            if ended := await supervisor.first_to_end(self._drain):
                self._give_up(ended)
        finally:
            self._open.set()  # parts that have not begun must end, too
            await background.goodbye(supervisor)

    def _give_up(self, part: asyncio.Task[Any]) -> None:
        """Have the process stop, before the long goodbye: Celery must not deliver what is not taken any more."""
        error = part.exception()
        if isinstance(error, ConfigurationError):
            _log.critical("%s", in_words(error))
            self._died(WRONG_CONFIGURATION)
            return
        _log.critical(
            "the part %r died (%s); this process stops, start it again", part.get_name(), error, exc_info=error
        )
        self._died(os.EX_SOFTWARE)
