"""A real TLS server in front of a plain one, with the tests' own certificate."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tests.tasks.tunnel import TLS, server_tls

_WAIT_S = 20.0
_PAGE = b"<html>The plain HTTP request was sent to HTTPS port</html>"
_IN_PLAIN = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(_PAGE) + _PAGE


@contextmanager
def tls_front(
    target: int, *, asks_for_certificate: bool = False, answers_plain: bool = False, host: str = "127.0.0.1"
) -> Iterator[int]:
    """The port of a server that speaks TLS and passes everything on to the port `target` of this machine.

    `asks_for_certificate`: it takes only clients with the tests' certificate. `answers_plain`: it answers HTTP without
    TLS with a page, as nginx does; else it cuts the connection. `host`: the address that it listens on.
    """
    context = server_tls()
    if asks_for_certificate:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(TLS)

    def serve(client: socket.socket) -> None:
        client.settimeout(_WAIT_S)
        with suppress(OSError), client:
            if answers_plain and client.recv(1, socket.MSG_PEEK) == b"G":
                client.recv(65_536)
                client.sendall(_IN_PLAIN)
            else:
                _encrypted(client, context, target)

    def accept() -> None:
        with suppress(OSError):  # the listener is shut down at the end
            while True:
                threading.Thread(target=serve, args=listener.accept()[:1], daemon=True).start()

    with socket.create_server((host, 0)) as listener:
        accepting = threading.Thread(target=accept, daemon=True)
        accepting.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        accepting.join(_WAIT_S)


def _encrypted(client: socket.socket, context: ssl.SSLContext, target: int) -> None:
    with (
        context.wrap_socket(client, server_side=True) as outer,
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
