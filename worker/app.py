"""The Celery app, and a worker's life as Celery tells it: `celery -A worker.app worker`, or `closer worker`."""

from __future__ import annotations

import gc
import logging
import os
import threading
from typing import Any

from celery import Celery, signals
from celery.worker import state as celery_state

from tasks.close import register
from tasks.errors import CloserError, ConfigurationError
from worker import logs
from worker.broker import celery_settings
from worker.consuming import set_consuming
from worker.embedded import EmbeddedStore
from worker.publisher import Publisher
from worker.redaction import guard_tracebacks
from worker.runtime import WRONG_CONFIGURATION, Runtime
from worker.settings import load

_log = logging.getLogger("closer.app")
_LAST_RESORT_S = 40.0


class Worker:
    """What one worker process consists of, beside Celery's own: the loop, the publisher, perhaps the store."""

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        self._publisher: Publisher | None = None
        self._store: EmbeddedStore | None = None
        self._consumer: Any = None
        self.interrupted = False  # told to stop by Ctrl-C

    def start(self) -> None:
        """Start the parts, before Celery connects to its broker. Raises CloserError."""
        settings = load()
        settings.need_api_key()
        if settings.embedded:
            self._store = EmbeddedStore(settings)
            self._store.start()
        self._publisher = Publisher(close_groups)
        self._runtime = Runtime(settings, self._publisher.publish, _stop_process, self.consume)
        self._runtime.start()
        _log.info(
            "worker %s: API %s, store %s, stream %s, %d calls in flight at most",
            self._runtime.name,
            settings.api_base_url,
            settings.public_store_address,
            settings.events_stream,
            settings.concurrency,
        )

    def ready(self, consumer: Any) -> None:
        """Celery consumes: begin to take in events."""
        assert self._runtime is not None
        self._consumer = consumer
        _collect_less()
        self._runtime.open()

    def take(self, references: Any, origin: str) -> None:
        """The body of the task."""
        assert self._runtime is not None
        self._runtime.take(references, origin)

    def consume(self, on: bool) -> None:
        """Take task messages, or leave them to others; from any thread."""
        if self._consumer is not None:
            self._consumer.call_soon(set_consuming, self._consumer, on=on)

    def drain(self) -> None:
        """The process was told to stop."""
        if self._runtime is not None:
            self._runtime.drain()

    def stop(self) -> None:
        """Stop all parts; the store last."""
        if self._runtime is not None:
            self._runtime.stop()
        if self._publisher is not None:
            self._publisher.close()
        if self._store is not None:
            self._store.stop()
        self._runtime = self._publisher = self._store = None


app = Celery("closer", set_as_current=False)
app.add_defaults(lambda: celery_settings(load()))
worker = Worker()
close_groups = register(app, worker.take)


def _collect_less() -> None:
    """What a closure leaves behind is freed without the collector; with its defaults that takes a tenth of the CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _stop_process(code: int) -> None:
    """A part has died: end the process with this exit code, by Celery's way if that works, by force if not."""
    setattr(celery_state, "should_stop", code)  # noqa: B010  (its stub knows None only)
    timer = threading.Timer(_LAST_RESORT_S, os._exit, (code,))
    timer.daemon = True
    timer.start()


@signals.setup_logging.connect
def _configure_logs(**_: Any) -> None:
    settings = load()
    guard_tracebacks()
    logs.configure(settings.log_level, settings.log_format)


@signals.worker_init.connect
def _start(**_: Any) -> None:
    try:
        worker.start()
    except CloserError as error:
        worker.stop()
        _log.critical("the worker cannot start: %s", error)
        raise SystemExit(WRONG_CONFIGURATION if isinstance(error, ConfigurationError) else 1) from error


@signals.worker_ready.connect
def _ready(sender: Any, **_: Any) -> None:
    worker.ready(sender)


@signals.worker_shutting_down.connect
def _drain(sig: str, **_: Any) -> None:
    worker.interrupted = sig == "SIGINT"
    worker.drain()


@signals.worker_shutdown.connect
def _stop(**_: Any) -> None:
    worker.stop()
