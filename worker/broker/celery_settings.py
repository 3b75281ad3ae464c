"""Celery's configuration, for the broker that carries task messages."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tasks.namespace import Namespace
from worker.broker import rabbitmq
from worker.settings import Settings
from worker.settings.amqp_address import AmqpAddress
from worker.settings.redis_address import RedisAddress
from worker.store.connect import tls_options

BATCH_DEADLINE_S = 120.0  # how long a batch may wait to be claimed; well under the visibility time-out
_VISIBILITY_S = 300
_THREADS = 4


def celery_settings(settings: Settings) -> dict[str, Any]:
    """Return Celery's configuration for these settings, by Celery's names.

    docs/internals.md gives the reason for each line that is not Celery's default.
    """
    return {
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # A store that is out of memory or read-only recovers. It must not end the worker.
        "broker_channel_error_retry": True,
        "accept_content": ["json"],
        "task_serializer": "json",
        "result_serializer": "json",
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_acks_on_failure_or_timeout": True,
        "worker_consumer": "worker.broker.tolerant_consumer:TolerantConsumer",
        "worker_pool": "threads",
        "worker_concurrency": _THREADS,
        "worker_prefetch_multiplier": 1,
        "worker_enable_remote_control": True,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "enable_utc": True,
    } | broker_settings(settings.broker, settings.fleet)


def broker_settings(address: RedisAddress | AmqpAddress, fleet: Namespace) -> dict[str, Any]:
    """Return the part of Celery's configuration that depends on the broker's address and the namespace."""
    if isinstance(address, AmqpAddress):
        return rabbitmq.broker_settings(address, fleet)
    return _redis_settings(address, fleet)


def _redis_settings(address: RedisAddress, fleet: Namespace) -> dict[str, Any]:
    options = {
        "global_keyprefix": fleet.prefix,  # so that several fleets share a store, and a cluster's slot carries one
        "visibility_timeout": _VISIBILITY_S,
        "unacked_restore_interval": 5,
        "socket_timeout": 5,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 5,
    }
    tls = {"broker_use_ssl": tls_options(address.tls)} if address.tls else {}
    return {"broker_url": redis_url(address), "broker_transport_options": options} | tls


def redis_url(address: RedisAddress) -> str:
    """Return the address as kombu reads it, with its password. Never print it.

    Every part is escaped, so kombu reads the same as the ledger, and takes no `;` for another address.
    """
    login = ":".join(_escaped(part or "") for part in (address.username, address.password))
    at = "" if login == ":" else f"{login}@"
    if address.socket:
        database = f"?virtual_host={address.database}" if address.database else ""
        return f"redis+socket://{at}{quote(address.socket)}{database}"
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{'rediss' if address.tls else 'redis'}://{at}{host}:{address.port}/{address.database}"


def _escaped(part: str) -> str:
    return quote(part, safe="")
