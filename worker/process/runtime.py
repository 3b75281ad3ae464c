"""Runs one worker's asyncio loop in a thread. Celery's threads start it, stop it and hand batches over to it."""

from __future__ import annotations

import asyncio
import logging
import os
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
from worker.observe.metrics import WorkerMetrics
from worker.process import identity
from worker.process.background import GOODBYE_S, Background
from worker.process.compose import Components, compose
from worker.process.supervisor import Supervisor
from worker.settings import Settings

_log = logging.getLogger("closer.runtime")
_START_S = 30.0
WRONG_CONFIGURATION = 2  # the exit code


class Runtime:
    """One worker's loop and its parts. When a part ends that must not, it calls `died` once with the exit code."""

    def __init__(
        self,
        settings: Settings,
        dispatch: Dispatch,
        died: Callable[[int], None],
        consume: Callable[[bool], None] = lambda _: None,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        """`dispatch`, `consume`, `metrics`: see `compose`. `died` is called from the loop's thread."""
        self.name = identity.name()
        self._settings = settings
        self._dispatch = dispatch
        self._died = died
        self._consume = consume
        self._metrics = metrics
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._main, name="closer-loop", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._components: Components
        self._open = asyncio.Event()
        self._drain = asyncio.Event()
        self._told_to_stop = False

    def start(self) -> None:
        """Start the loop; returns when it runs, whether or not the store answers.

        Raises the error that kept it from starting, such as ConfigurationError, or CloserError after 30 s.
        """
        self._thread.start()
        try:
            self._ready.result(timeout=_START_S)
        except FutureTimeout:
            raise CloserError(f"its loop did not start within {_START_S:.0f} s; start it again") from None

    def open(self) -> None:
        """Begin to take in events and to dispatch, because Celery consumes now."""
        with suppress(RuntimeError):  # the loop has ended: it was told to stop just before Celery was ready
            self._loop.call_soon_threadsafe(self._open.set)

    def hand_over(self, references: Any, origin: str) -> None:
        """Hand a batch to the loop, from a thread of Celery's pool, and return when it is claimed or kept.

        `references`: a list, or what another program sent instead. `origin`: the message's id. It waits at most
        `BATCH_DEADLINE_S` seconds. Raises NotTaken: then the message must stay in the queue.
        """
        batch = self._components.batches.claim_when_possible(references, origin)
        try:
            future = asyncio.run_coroutine_threadsafe(batch, self._loop)
        except RuntimeError:  # the loop has ended, but Celery's consumer has not
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
        """Begin to stop, and return at once. Nothing new is begun, and calls in flight end."""
        self._told_to_stop = True  # for a loop that has not begun
        with suppress(RuntimeError, AttributeError):  # the loop has ended, or has not begun
            self._loop.call_soon_threadsafe(self._drain.set)

    def stop(self) -> None:
        """Stop. Returns when all results are written, or after `GOODBYE_S` seconds.

        Results that are not written by then are attempted again when their leases end.
        """
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
        if self._told_to_stop:
            self._drain.set()
        self._components = compose(self._settings, self._dispatch, self._consume, self.name, self._metrics)
        background = Background(self._components)
        await self._hello()
        self._ready.set_result(None)
        supervisor = Supervisor(background.parts(self._open))
        try:
            if ended := await supervisor.first_to_end(self._drain):
                self._give_up(ended)
        finally:
            self._open.set()  # wakes the parts that wait for it, so that they end, too
            await background.goodbye(supervisor)

    async def _hello(self) -> None:
        """Introduce the worker, but do not wait for that when it is told to stop. Raises ConfigurationError."""
        hello = asyncio.ensure_future(self._components.vitals.hello())
        told = asyncio.ensure_future(self._drain.wait())
        await asyncio.wait((hello, told), return_when=asyncio.FIRST_COMPLETED)
        told.cancel()
        if hello.done():
            hello.result()
        else:
            hello.cancel()

    def _give_up(self, part: asyncio.Task[Any]) -> None:
        """Make the process stop, before the goodbye begins.

        The goodbye takes long, and meanwhile Celery must not deliver messages that nobody takes.
        """
        error = part.exception()
        if isinstance(error, ConfigurationError):
            _log.critical("%s", in_words(error))
            self._died(WRONG_CONFIGURATION)
            return
        _log.critical(
            "the part %r died (%s); this process stops, start it again", part.get_name(), error, exc_info=error
        )
        self._died(os.EX_SOFTWARE)
