"""A real TCP relay on loopback that can go dead: it keeps connections open and passes nothing on any more."""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

_PIECE = 65_536
_LOOK_S = 0.2  # how long the relay may take to notice that it is closed


@dataclass(eq=False)
class Pair:
    """One connection through the relay. `sent`: the words that its client has sent so far."""

    client: socket.socket
    server: socket.socket
    sent: bytearray = field(default_factory=bytearray)
    dead: bool = False

    def other(self, side: socket.socket) -> socket.socket:
        """The socket on the other side."""
        return self.server if side is self.client else self.client


class Relay:
    """Passes bytes on to `target`, a port of this machine.

    `port`: where it listens. `blocked`: whether connections that are made from now on are dead from the beginning.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.blocked = False
        self._pairs: list[Pair] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="relay")
        self._thread.start()

    def dies(self, word: bytes = b"") -> int:
        """Let all connections on which `word` was sent go dead without a word; how many. New ones are passed on."""
        with self._lock:
            dead = [pair for pair in self._pairs if word in pair.sent and not pair.dead]
            for pair in dead:
                pair.dead = True
                self._forget(pair)
        return len(dead)

    def alive(self, word: bytes) -> int:
        """How many connections are passed on on which `word` was sent."""
        with self._lock:
            return sum(word in pair.sent and not pair.dead for pair in self._pairs)

    def close(self) -> None:
        """End all connections."""
        self._closed.set()
        self._thread.join(10)
        for pair in self._pairs:
            pair.client.close()
            pair.server.close()
        self._listener.close()

    def _run(self) -> None:
        while not self._closed.is_set():
            for key, _ in self._selector.select(_LOOK_S):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif not key.data.dead:
                        self._pass(key.data, key.fileobj)  # type: ignore[arg-type]

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        pair = Pair(client, socket.create_connection(("127.0.0.1", self._target)), dead=self.blocked)
        self._pairs.append(pair)
        if not pair.dead:
            for side in (pair.client, pair.server):
                self._selector.register(side, selectors.EVENT_READ, pair)

    def _forget(self, pair: Pair) -> None:
        for side in (pair.client, pair.server):
            self._selector.unregister(side)

    def _pass(self, pair: Pair, side: socket.socket) -> None:
        data = b""
        with suppress(OSError):
            data = side.recv(_PIECE)
            pair.other(side).sendall(data)
        if side is pair.client:
            pair.sent += data
        if not data:
            self._pairs.remove(pair)
            self._forget(pair)
            pair.client.close()
            pair.server.close()


@contextmanager
def relay(target: int) -> Iterator[Relay]:
    """A relay to this port."""
    running = Relay(target)
    try:
        yield running
    finally:
        running.close()
