"""kombu's transport over AMQP. It survives headers of any depth and bodies that unpack without end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from amqp.method_framing import frame_handler
from kombu import Message as KombuMessage
from kombu.transport import pyamqp

_HEADER = 2  # the frame that holds a message's properties
_BEFORE_FLAGS = 12  # its class, weight and the size of the body; then two bytes of flags, and the properties
Frame = tuple[int, int, Any]
_PyamqpConnection: Any = pyamqp.Connection  # its stub does not know frame_handler


class Message(KombuMessage):
    """A message as it came, still packed. kombu's own class unpacks it at once and without a limit."""

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
    """Make py-amqp's reader of frames, which here drops properties that it cannot read and keeps the body.

    Its exception would end the connection. The broker would then deliver the same message to the next connection.
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
    """A channel over AMQP whose messages stay packed until closer reads them."""

    Message = Message  # type: ignore[assignment]  # kombu wants one of its own base class


class Connection(_PyamqpConnection):  # type: ignore[misc]
    """A connection over AMQP that survives properties which it cannot read."""

    Channel = Channel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, frame_handler=_tolerant_frames, **kwargs)


class Transport(pyamqp.Transport):
    """kombu's transport for `amqp://`, with these connections."""

    Connection = Connection


class SSLTransport(pyamqp.SSLTransport):
    """kombu's transport for `amqps://`, with these connections."""

    Connection = Connection
