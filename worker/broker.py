"""Task messages to the broker: Celery's settings, and the way a batch is sent."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from celery import Task
from kombu.exceptions import OperationalError

from worker.settings import Settings
from worker.sweep import BrokerUnavailable

BATCH_DEADLINE_S = 120.0  # how long a batch may wait to be taken in hand; well under the visibility time-out
_VISIBILITY_S = 300
_THREADS = 4


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Celery's configuration. Each line that is not its default is there for a reason, see docs/internals.md."""
    return {
        "broker_url": settings.celery_broker_url,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A store that is out of memory or read-only is a passing trouble, too, not the end of the worker.
        "broker_channel_error_retry": True,
        "broker_transport_options": _transport_options(settings.celery_broker_url),
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure_or_timeout": True,
        "worker_pool": "threads",
        "worker_concurrency": _THREADS,
        "worker_prefetch_multiplier": 1,
        "worker_enable_remote_control": True,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "enable_utc": True,
    }


def _transport_options(broker_url: str) -> dict[str, Any]:
    if broker_url.startswith("amqp"):
        return {"confirm_publish": True, "socket_timeout": 30}
    return {
        "visibility_timeout": _VISIBILITY_S,
        "unacked_restore_interval": 5,
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 15,
    }


class Publisher:
    """Sends batches from a thread of its own: publishing blocks, and the loop must not."""

    def __init__(self, task: Task[Any, Any]) -> None:
        self._task = task
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="publish")

    async def publish(self, references: list[str]) -> None:
        """Send one message. Raises BrokerUnavailable."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._send, references)

    def close(self) -> None:
        """Give up the thread; a message on its way is presumed lost later, and sent again."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _send(self, references: list[str]) -> None:
        # References may be many: logs and events show only how many.
        options: dict[str, Any] = {"argsrepr": f"<{len(references)} references>", "retry": False}
        try:
            self._task.apply_async((references,), **options)
        except (OperationalError, OSError) as error:
            raise BrokerUnavailable(f"the broker does not take messages ({type(error).__name__}: {error})") from error
