"""The Celery app, and how its signals start and stop a worker: `celery -A worker.app worker` or `closer worker`."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import warnings
from contextlib import ExitStack
from importlib import import_module
from typing import Any

from celery import Celery, signals
from celery.exceptions import SecurityWarning
from celery.worker import state as celery_state

from tasks.celery_task import register
from tasks.errors import CloserError, ConfigurationError, NotTaken
from worker import open_files
from worker.broker import celery_variables, log_options
from worker.broker.celery_settings import celery_settings
from worker.broker.consuming import Consuming
from worker.dispatch.dispatcher import Dispatcher
from worker.observe import last_words, logs, stdio
from worker.observe.error_words import in_words
from worker.observe.metrics import WorkerMetrics
from worker.observe.metrics_page import MetricsPage
from worker.process.runtime import WRONG_CONFIGURATION, Runtime
from worker.settings import Settings, load, unknown_variables
from worker.store.embedded import EmbeddedStore

_log = logging.getLogger("closer.app")
_LAST_RESORT_S = 40.0
_STOPS = (signal.SIGTERM, signal.SIGINT)


class Worker:
    """One worker process's parts beside Celery's own: the runtime, the dispatcher, and perhaps the embedded store."""

    def __init__(self) -> None:
        self._runtime: Runtime | None = None
        self._started = ExitStack()  # what `stop` ends, the last started first; each is here before it is started
        self._consuming = Consuming()
        self.interrupted = False  # told to stop by Ctrl-C

    def start(self) -> None:
        """Start the parts, before Celery connects to its broker. Raises CloserError."""
        settings = load()
        settings.need_api_key()
        open_files.raise_limit(settings.concurrency)
        for name in unknown_variables():
            _log.warning("%s is not a setting of closer's; is it misspelt?", name)
        try:
            runtime = self._start_parts(settings)
        except BaseException:
            self.stop()
            raise
        self._runtime = runtime
        _log.info(
            "worker %s: API %s, store %s, stream %s, %d calls in flight at most",
            runtime.name,
            settings.api_base_url,
            settings.public_store_address,
            settings.events_stream,
            settings.concurrency,
        )

    def _start_parts(self, settings: Settings) -> Runtime:
        if settings.embedded:
            _start_store(settings, self._started)
        dispatcher = Dispatcher(close_groups)
        self._started.callback(dispatcher.close)
        metrics = _serve_metrics(settings, self._started)
        runtime = Runtime(settings, dispatcher.dispatch, _stop_process, self._consuming.say, metrics)
        self._started.callback(runtime.stop)
        runtime.start()
        return runtime

    def ready(self, consumer: Any) -> None:
        """Begin to take in events; Celery consumes."""
        assert self._runtime is not None
        self._consuming.begin(consumer)
        _collect_less()
        self._runtime.open()

    def hand_over(self, references: Any, origin: str) -> None:
        """Take the references of a task message; `origin` says where they came from. Raises NotTaken."""
        if self._runtime is None:
            raise NotTaken("this process has not started, or has stopped")
        self._runtime.hand_over(references, origin)

    def drain(self) -> None:
        """Begin to stop: the process was told to."""
        if self._runtime is not None:
            self._runtime.drain()

    def stop(self) -> None:
        """Stop all parts; the store last."""
        self._runtime = None
        self._started.close()


def _configuration() -> dict[str, Any]:
    """Return Celery's configuration. With wrong settings end the process: Celery would print a traceback."""
    try:
        return celery_settings(load())
    except ConfigurationError as error:
        last_words.say(str(error))
        raise SystemExit(WRONG_CONFIGURATION) from error


class Closer(Celery):
    """The Celery app, configured by `CLOSER_*` only. `ignored` names Celery's own variables that were set."""

    ignored: tuple[str, ...] = ()

    def on_init(self) -> None:
        """Remove Celery's variables, before Celery reads any configuration."""
        self.ignored = celery_variables.forget()


app = Closer("closer", set_as_current=False, amqp="worker.broker.transports:TolerantAMQP", fixups=[])
app.add_defaults(_configuration)
worker = Worker()
close_groups = register(app, worker.hand_over)


def _start_store(settings: Settings, started: ExitStack) -> None:
    store = EmbeddedStore(settings)
    started.callback(store.stop)
    try:
        store.start()
    except OSError as error:
        raise ConfigurationError(
            f"the embedded store cannot be started: {error}; set CLOSER_DATA_DIR to a folder that you own"
        ) from error


def _serve_metrics(settings: Settings, started: ExitStack) -> WorkerMetrics | None:
    if not settings.metrics_port:
        return None
    metrics = WorkerMetrics()
    page = MetricsPage(settings.metrics_port, metrics.registry)
    started.callback(page.close)
    return metrics


def _collect_less() -> None:
    """Run the garbage collector less often. Closures leave no cycles, and its defaults take a tenth of the CPU."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _stop_process(code: int) -> None:
    """End the process with this exit code, because a part has died. Use Celery's way first, then force."""
    setattr(celery_state, "should_stop", code)  # noqa: B010  (its stub allows only None)
    timer = threading.Timer(_LAST_RESORT_S, _end_by_force, (code,))
    timer.daemon = True
    timer.start()


def _end_by_force(code: int) -> None:
    logs.finish()
    os._exit(code)


@signals.celeryd_init.connect
def _log_from_now_on(sender: str, instance: Any, options: dict[str, Any], **_: Any) -> None:
    """Turn everything that is printed into log lines. This is the first thing that Celery's worker does."""
    settings = load()
    last_words.guard_tracebacks()
    file = log_options.file(options, sender)
    try:
        logs.configure(log_options.level(options, settings.log_level), settings.log_format, file)
    except OSError as error:
        last_words.say(f"the log file {file} cannot be opened ({error.strerror}); name another: --logfile")
        raise SystemExit(WRONG_CONFIGURATION) from error
    stdio.take_over()
    if os.geteuid() != 0:  # Celery takes a group that the system cannot name for root's
        warnings.simplefilter("ignore", SecurityWarning)
    instance.quiet = True  # its banner says less than our first line
    instance.exitcode = os.EX_SOFTWARE  # until it is told to stop; Celery ends with 0 even when it gives up
    for number in _STOPS:
        signal.signal(number, lambda *_: _leave(instance))


def _leave(instance: Any) -> None:
    """Stop before Celery has signal handlers of its own, which it sets when the parts run.

    Called from a signal handler. It raises nothing: whatever Celery is doing now, an import for one, would lose it.
    """
    for number in _STOPS:
        signal.signal(number, signal.SIG_IGN)
    worker.stop()
    if instance.pidlock is not None:
        instance.pidlock.release()
    _log.info("told to stop while starting")
    _end_by_force(os.EX_OK)


@signals.setup_logging.connect
def _keep_logs(**_: Any) -> None:
    """Celery leaves the logs alone when somebody listens to this signal."""


@signals.celeryd_init.connect
def _refuse(options: dict[str, Any], **_: Any) -> None:
    """End the process when options of `celery -A worker.app worker` would make it another kind of worker."""
    for name in celery_variables.without_effect(options):
        _log.warning("%s has no effect on closer's workers; start them without it", name)
    wrong = celery_variables.refused(options, app.conf, celery_settings(load()))
    for words in wrong:
        _log.critical("the worker cannot start with %s; start it without", words)
    if wrong:
        raise SystemExit(WRONG_CONFIGURATION)


@signals.worker_init.connect
def _start(**_: Any) -> None:
    """Start the parts, or end the process. Celery would log an exception raised here and go on without the parts."""
    # Celery would import it later, when a signal already raises. An exception in the middle of an import is lost.
    import_module(app.conf.worker_consumer.partition(":")[0])
    for name in app.ignored:
        _log.warning("%s is set and has no effect; %s", name, celery_variables.REMEDY)
    try:
        worker.start()
    except CloserError as error:
        _log.critical("the worker cannot start: %s", in_words(error))
        raise SystemExit(WRONG_CONFIGURATION if isinstance(error, ConfigurationError) else 1) from error
    except Exception as error:
        _log.critical("the worker cannot start: %s: %s", type(error).__name__, error, exc_info=error)
        raise SystemExit(os.EX_SOFTWARE) from error


@signals.worker_ready.connect
def _ready(sender: Any, **_: Any) -> None:
    try:
        worker.ready(sender)
    except Exception as error:  # Celery would go on, but nothing would take events in
        _log.critical("the worker cannot go on (%s); this process stops, start it again", error, exc_info=error)
        _stop_process(os.EX_SOFTWARE)


@signals.worker_shutting_down.connect
def _drain(sig: str, **_: Any) -> None:
    worker.interrupted = sig == "SIGINT"
    worker.drain()


@signals.worker_shutdown.connect
def _stop(**_: Any) -> None:
    worker.stop()
    logs.finish()  # after SIGHUP Celery replaces the process before any exit handler runs
