"""A receiver of webhooks over real HTTP: it keeps what comes, and answers as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """`status`: what it answers. `hangs`: it answers when this is set. `endless`: its body never ends."""

    url: str = ""
    status: int = 204
    hangs: threading.Event | None = None
    endless: bool = False
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The bodies."""
        return [json.loads(body) for _, body in self.got]

    @property
    def ids(self) -> list[str]:
        """The ids of the messages."""
        return [headers["webhook-id"] for headers, _ in self.got]

    @property
    def kinds(self) -> list[str]:
        """The types of the messages."""
        return [document["type"].removeprefix("closer.") for document in self.documents]


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A running one."""
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
            if told.hangs:
                told.hangs.wait(60)
            self.send_response(told.status)
            self.send_header("location", "/elsewhere")
            self.end_headers()
            while told.endless:
                self.wfile.write(b"x" * 1000)

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: Any) -> None:
            pass

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    told.url = f"http://127.0.0.1:{server.server_address[1]}/hook/T0KEN"
    try:
        yield told
    finally:
        told.endless = False
        if told.hangs:
            told.hangs.set()
        server.shutdown()
        server.server_close()
