"""kombu's transport over AMQP, made to outlive any message: headers of any depth, bodies that unfold without end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amqp.method_framing import frame_handler
from kombu import Message as KombuMessage
from kombu.transport import pyamqp

_HEADER = 2  # the frame that holds a message's properties
_BEFORE_FLAGS = 12  # its class, weight and the size of the body; then two bytes of flags, and the properties
Frame = tuple[int, int, Any]
_PyamqpConnection: Any = pyamqp.Connection  # its stub knows no frame_handler


class Message(KombuMessage):
    """A message as it came. kombu's own unpacks it at once, without a limit."""

    def __init__(self, msg: Any, channel: Any = None, **kwargs: Any) -> None:
        told = msg.properties
        super().__init__(
            body=msg.body,
            channel=channel,
            delivery_tag=msg.delivery_tag,
            content_type=told.get("content_type"),
            content_encoding=told.get("content_encoding"),
            delivery_info=msg.delivery_info,
            properties=told,
            **kwargs,
        )
        self.headers = told.get("application_headers") or {}


def _tolerant_frames(connection: Any, callback: Any, **kwargs: Any) -> Callable[[Frame], bool]:
    """py-amqp's reader of frames; properties that it cannot read become none, and the body is there all the same.

    Its exception would end the connection, and the broker would deliver the same message to the next one.
    """
    read: Callable[[Frame], bool] = frame_handler(connection, callback, **kwargs)

    def on_frame(frame: Frame) -> bool:
        kind, channel, content = frame
        try:
            return read(frame)
        except Exception:
            if kind != _HEADER:
                raise
            return read((kind, channel, bytes(content[:_BEFORE_FLAGS]) + b"\0\0"))

    return on_frame


class Channel(pyamqp.Channel):
    """A channel over AMQP."""

    Message = Message  # type: ignore[assignment]  # kombu wants one of its own base class


class Connection(_PyamqpConnection):  # type: ignore[misc]
    """A connection over AMQP."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, frame_handler=_tolerant_frames, **kwargs)


class Transport(pyamqp.Transport):
    """AMQP."""

    Connection = Connection


class SSLTransport(pyamqp.SSLTransport):
    """AMQP with TLS."""

    Connection = Connection
