"""A RabbitMQ of the tests' own, on ports and in a folder of its own, where the program is installed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.support import free_port, until

_DEBIAN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")  # the one on the PATH there insists on its own user


def program() -> str | None:
    """The server's program, if there is one."""
    return str(_DEBIAN) if _DEBIAN.exists() else shutil.which("rabbitmq-server")


class Rabbit:
    """One node. What it holds outlives `stop`, until the next `start`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._epmd = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"amqp://guest:guest@127.0.0.1:{self._port}//"
        self.log = folder / "output.log"
        names = {
            "HOME": folder,
            "ERL_EPMD_PORT": self._epmd,
            "RABBITMQ_NODENAME": f"closer{self._port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": self._port,
            "RABBITMQ_DIST_PORT": free_port(),
            "RABBITMQ_MNESIA_BASE": folder / "data",
            "RABBITMQ_LOG_BASE": folder / "log",
            "RABBITMQ_PID_FILE": folder / "pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": folder / "plugins",
            "RABBITMQ_CONFIG_FILE": folder / "rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": folder / "none",
        }
        self._environment = os.environ | {name: str(value) for name, value in names.items()}

    def start(self) -> None:
        """Returns when it accepts connections."""
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [str(program())], env=self._environment, stdout=output, stderr=output, start_new_session=True
            )
        until(lambda: _listens(self._port), f"RabbitMQ's start, see {self.log}")

    def stop(self) -> None:
        """Stop it as its supervisor would; returns when it is gone."""
        assert self._process is not None
        os.kill(int((self._folder / "pid").read_text()), signal.SIGTERM)
        self._process.wait(60)

    def kill(self) -> None:
        """End it, however far it has come."""
        if self._process is not None:
            with suppress(FileNotFoundError, ProcessLookupError, ValueError):
                os.kill(int((self._folder / "pid").read_text()), signal.SIGKILL)
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)

    def forget(self) -> None:
        """Kill what it has left behind: epmd, once it has noticed that its node is gone."""

        def gone() -> bool:
            if _listens(self._epmd):
                kill = ["epmd", "-port", str(self._epmd), "-kill"]
                subprocess.run(kill, capture_output=True, timeout=10, check=False)
            return not _listens(self._epmd)

        until(gone, "epmd's end", 10)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


@contextmanager
def rabbit(folder: Path) -> Iterator[Rabbit]:
    """A running RabbitMQ; gone, whatever happens."""
    server = Rabbit(folder)
    try:
        server.start()
        yield server
    finally:
        server.kill()
        server.forget()
