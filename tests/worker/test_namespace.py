"""Tests of `CLOSER_NAMESPACE`: what it may be, and what is named by it."""

from __future__ import annotations

import pytest

from tasks.errors import ConfigurationError
from worker.broker.celery_settings import celery_settings
from worker.settings import load


@pytest.mark.parametrize("name", ["a b", "{x}", "a:b", "é", "x" * 65, "a\nb", "a*"])
def test_what_is_not_a_namespace(name: str) -> None:
    """A wrong namespace is refused with the characters that it may have."""
    with pytest.raises(ConfigurationError, match=r"CLOSER_NAMESPACE: needs 1 to 64 characters of A-Z a-z 0-9 _ - \."):
        load(namespace=name)


@pytest.mark.parametrize("name", ["north", "a.b_c-9", "x" * 64])
def test_everything_is_named_by_it(name: str) -> None:
    """The stream, the prefix of Celery's keys, and RabbitMQ's queue; a stream that was set stays."""
    settings = load(namespace=name, redis_url="redis://h/0")
    assert settings.events_stream == f"{{{name}}}:shipment-groups.complete"
    assert celery_settings(settings)["broker_transport_options"]["global_keyprefix"] == f"{{{name}}}:"
    rabbit = celery_settings(load(namespace=name, broker_url="amqp://h//"))
    assert rabbit["task_default_queue"] == f"celery.{name}"
    assert load(namespace=name, events_stream="mine").events_stream == "mine"
