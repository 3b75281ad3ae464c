"""Serves one process's metrics to Prometheus, from threads of its own."""

from __future__ import annotations

import logging
import socket
import threading
from socketserver import TCPServer
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from tasks.errors import ConfigurationError

_log = logging.getLogger("closer.metrics")
_READER_S = 5.0  # how long a reader may be silent, or not take what it has asked for
_POLL_S = 0.1


class _Handler(WSGIRequestHandler):
    timeout = _READER_S

    def log_message(self, *_: Any) -> None:
        """Log nothing: a scrape comes every few seconds."""


class _Server(ThreadingWSGIServer):
    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

    def server_bind(self) -> None:
        """Bind. The base class would look up this machine's name, for which a broken DNS lets it wait."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "closer", self.server_address[1]
        self.setup_environ()

    def handle_error(self, *_: Any) -> None:
        """Log that a reader has gone, which is its own affair."""
        _log.debug("a scrape ended early", exc_info=True)


class MetricsPage:
    """A page with the metrics, on every address of this machine. It serves from the beginning until `close`."""

    def __init__(self, port: int, registry: CollectorRegistry) -> None:
        """Raises ConfigurationError when the port cannot be had."""
        try:
            self._server = _Server(("", port), _Handler)
        except OSError as error:
            raise ConfigurationError(
                f"CLOSER_METRICS_PORT: port {port} cannot be had ({error.strerror}); each worker on a machine needs "
                "one of its own"
            ) from error
        self._server.set_app(make_wsgi_app(registry))
        threading.Thread(target=self._server.serve_forever, args=(_POLL_S,), name="metrics", daemon=True).start()

    def close(self) -> None:
        """Serve no more."""
        self._server.shutdown()
        self._server.server_close()
