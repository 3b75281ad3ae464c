"""Celery's remote control, limited to `ping` and `stats`.

It stays on, because without it a worker that reconnects to Redis may take nothing. Whoever reaches the broker can write
to it. Celery's own remote control would obey when told to shut workers down, stop consuming, or revoke tasks.
"""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from typing import Any, Literal

from celery.worker import pidbox
from celery.worker.consumer import control

from tasks.envelope import Unreadable, load_json
from tasks.outage_log import Seldom

MAX_BYTES = 64 * 1024  # of a control message
_SAY_AGAIN_S = 10.0
_WORD = re.compile(r"[!-~]{1,255}")  # the names of a reply's queue, and the ticket, as Celery makes them
_log = logging.getLogger("closer.remote_control")
_CelerysPidbox: Any = pidbox.Pidbox  # its stub does not know the attributes
_CelerysControl: Any = control.Control
_said = Seldom(_SAY_AGAIN_S)


@dataclass(frozen=True, slots=True)
class Question:
    """A question to this worker, and the queue of its answer. An empty `routing_key` means that no answer is wanted."""

    method: Literal["ping", "stats"]
    routing_key: str = ""
    ticket: str = ""


def read(body: bytes | str, hostname: str, replies: str) -> Question | None:
    """Read a control message; None when it is for other workers. Raises Unreadable.

    `hostname` is this worker's name. `replies` is the exchange of Celery's answers; closer does not answer to another.
    """
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else body
    if len(raw) > MAX_BYTES:
        raise Unreadable(f"it has {len(raw)} bytes, the limit is {MAX_BYTES}")
    asked = load_json(raw)
    if not isinstance(asked, dict):
        raise Unreadable("it is not an object")
    destination = asked.get("destination")
    if destination and not (isinstance(destination, list) and hostname in destination):
        return None
    method = asked.get("method")
    if method not in ("ping", "stats") or asked.get("pattern"):
        raise Unreadable(f"the command {json.dumps(method)[:100]} is not one of ping and stats")
    to = asked.get("reply_to")
    if not to:
        return Question(method)
    if not isinstance(to, dict) or to.get("exchange") != replies:
        raise Unreadable("its answer would go where Celery's answers do not go")
    return Question(method, _word(to.get("routing_key")), _word(asked.get("ticket")))


def refuse(why: Exception) -> None:
    """Log that a control message was ignored, at most once in ten seconds."""
    more = _said.due()
    if more is not None:
        _log.warning(
            "a message on Celery's control channel was ignored: %s%s; closer answers ping and stats only",
            str(why)[:300] or type(why).__name__,
            f" (and {more} others since the last such line)" if more else "",
        )


def _word(text: Any) -> str:
    if not isinstance(text, str) or not _WORD.fullmatch(text):
        raise Unreadable("it does not say where its answer goes")
    return text


class Mailbox(_CelerysPidbox):  # type: ignore[misc]
    """A worker's mailbox on the control channel."""

    def start(self, c: Any) -> None:
        """Listen on the control channel; Celery has connected."""
        self.node.channel = c.connection.channel()
        self.consumer = self.node.Consumer(on_message=self.on_raw)
        self.consumer.consume()

    def on_raw(self, message: Any) -> None:
        """Answer a message, or ignore it; its body is not read yet."""
        try:
            question = read(message.body or b"", self.hostname, self.node.mailbox.reply_exchange.name)
        except Exception as error:
            refuse(error)
            return
        if question is not None:
            self._answer(question)

    def _answer(self, question: Question) -> None:
        if not question.routing_key:
            return
        answer = {"ok": "pong"} if question.method == "ping" else self._stats()
        try:
            exchange = self.node.mailbox.reply_exchange.name
            self.node.reply({self.hostname: answer}, exchange, question.routing_key, question.ticket)
        except Exception as error:
            _log.warning("%s on the control channel could not be answered (%s)", question.method, error)
            self.reset()

    def _stats(self) -> dict[str, Any]:
        """Return Celery's numbers of this worker. They name only the broker's kind: addresses hold passwords."""
        told: dict[str, Any] = self.c.controller.stats()
        return told | {"broker": {"transport": self.c.connection.transport.driver_type}}


class RemoteControl(_CelerysControl):  # type: ignore[misc]
    """The step of a consumer's life that opens the mailbox."""

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        box = Mailbox(parent)
        self.box, self.start, self.stop, self.shutdown = box, box.start, box.stop, box.shutdown
