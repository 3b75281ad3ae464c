"""A real TLS server in front of a plain one, with the tests' own certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.tasks.tunnel import TLS, server_tls

_WAIT_S = 20.0


@contextmanager
def tls_front(target: int, *, asks_for_certificate: bool = False, host: str = "127.0.0.1") -> Iterator[int]:
    """The port of a server that speaks TLS and passes everything on to the port `target` of this machine.

    `host`: the address that it listens on. `asks_for_certificate`: it takes only clients with the tests' certificate.
    """
    context = server_tls()
    if asks_for_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(TLS)
    with socket.create_server((host, 0)) as listener:
        accepting = threading.Thread(target=_accept, args=(listener, context, target), daemon=True)
        accepting.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(_WAIT_S)


def _accept(listener: socket.socket, context: ssl.SSLContext, target: int) -> None:
    with suppress(OSError):  # the listener is shut down at the end
        while True:
            client, _ = listener.accept()
            threading.Thread(target=_serve, args=(client, context, target), daemon=True).start()


def _serve(raw: socket.socket, context: ssl.SSLContext, target: int) -> None:
    raw.settimeout(_WAIT_S)
    with (
        suppress(OSError),
        context.wrap_socket(raw, server_side=True) as outer,
        socket.create_connection(("127.0.0.1", target), timeout=_WAIT_S) as inner,
    ):
        back = threading.Thread(target=_pass, args=(inner, outer), daemon=True)
        back.start()
        _pass(outer, inner)
        inner.shutdown(socket.SHUT_RDWR)
        back.join(_WAIT_S)


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
