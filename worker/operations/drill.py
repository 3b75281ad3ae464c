"""Sends one alert of each kind to the webhook, marked as a drill, so that somebody sees whether they arrive."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.errors import ConfigurationError
from worker.observe.webhook import Message, Webhook
from worker.operations.alerts import Alert, drills
from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Drilled:
    """One alert of a drill. `problem`: why it was not taken, None if it was."""

    alert: Alert
    problem: str | None


async def drill(settings: Settings, *, now_ms: int, name: str) -> list[Drilled]:
    """Send them one after the other, up to the first that is not taken.

    `now_ms`: the time (ms since the epoch). `name`: begins the messages' ids. Raises ConfigurationError without a
    webhook.
    """
    webhook = Webhook.of(settings)
    if webhook is None:
        raise ConfigurationError("CLOSER_ALERT_WEBHOOK_URL is not set, so there is nowhere to send alerts to")
    done: list[Drilled] = []
    try:
        for number, alert in enumerate(drills(now_ms)):
            message = Message(f"drill-{name}-{number}", alert.as_json(settings.namespace, drill=True))
            done.append(Drilled(alert, await webhook.send(message)))
            if done[-1].problem:
                break
    finally:
        await webhook.aclose()
    return done
