"""The console's process: it starts, answers, has an end to every wait, and stops."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from starlette.types import Message
from uvicorn import Server

from tasks.errors import ConfigurationError
from tasks.ledger.ledger import Ledger
from tests.support import free_port, run, until, until_soon
from tests.web.conftest import Console, kind
from worker.settings import load
from worker.web import listen, protocol, serve, shell, store_time
from worker.web.problems import KINDS

ROOT = Path(__file__).parents[2]
HEADERS = ("x-content-type-options", "referrer-policy", "cache-control", "content-security-policy")


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/v1/whoami", "/nothing", "/problems/not-json"])
def test_every_answer_is_guarded(console: Console, path: str) -> None:
    """Whatever it is, a browser runs nothing in it, frames it nowhere and keeps it not; it does not name the server."""
    answer = console.get(path)
    assert all(name in answer.headers for name in HEADERS)
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert "server" not in answer.headers


@pytest.mark.parametrize(("path", "method", "expected"), [
    ("/nothing", "GET", "not-found"), ("/livez/", "GET", "not-found"), ("/v1/whoami", "POST", "wrong-method"),
    ("/problems/none", "GET", "not-found"), ("/docs", "GET", "not-found"),
])  # fmt: skip
def test_what_is_not_there(console: Console, path: str, method: str, expected: str) -> None:
    """It is a problem like any other, and never a redirect."""
    assert kind(console.client.request(method, path)) == expected


def test_every_kind_of_problem_is_explained(console: Console) -> None:
    """Its address says what it means, and so does docs/http-api.md."""
    page = (ROOT / "docs" / "http-api.md").read_text()
    for name, one in KINDS.items():
        assert one.meaning in console.get(f"/problems/{name}").text
        assert f"| `{name}` | {one.status} | {one.title}. {one.meaning} |" in page
    assert len(re.findall(r"^\| `[a-z-]+` \| \d", page, re.MULTILINE)) == len(KINDS)


def test_the_schema_is_served(console: Console) -> None:
    """OpenAPI 3.1, without pages that load programs from elsewhere."""
    assert console.get("/v1/openapi.json").json()["openapi"].startswith("3.1")


def test_the_store_is_away(tmp_path: Path) -> None:
    """Probes are answered, and everything else is 503 with a time to come again."""
    with Console(tmp_path, f"redis://127.0.0.1:{free_port()}/0") as console:
        assert console.get("/readyz").status_code == 200
        answer = console.get("/v1/whoami")
        assert (answer.status_code, kind(answer)) == (503, "store-away")
        assert answer.headers["retry-after"] == "5"


def test_the_store_says_nothing(tmp_path: Path) -> None:
    """The wait has an end after two seconds: the console answers long before a client gives up."""
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        Console(tmp_path, f"redis://127.0.0.1:{silent.getsockname()[1]}/0") as console,
    ):
        answer = console.get("/v1/whoami")
        assert (answer.status_code, kind(answer)) == (503, "store-away")
        assert f"within {store_time.STORE_S:g} s" in answer.json()["detail"]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_it_stops(store_url: str, tmp_path: Path, how: signal.Signals) -> None:
    """As a success, with clients still connected; and it has told its address."""
    with Console(tmp_path, store_url) as console:
        until(lambda: f"the console is at {console.url}" in console.process.output, "its address")
        assert console.process.stop(how) == 0
        assert "Traceback" not in console.process.output


def test_a_port_that_is_taken(store_url: str, tmp_path: Path) -> None:
    """It says so; with --next-free-port the next one is used, and told."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = run("console", redis_url=store_url, http_port=port)
        assert done.returncode == 1
        assert f"port {port} of 127.0.0.1 is taken" in done.stderr
        with listen.listen("127.0.0.1", port, next_free=True) as bound:
            assert bound.getsockname()[1] > port


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid", "a..b"])
def test_a_host_that_is_not_this_machines(store_url: str, host: str) -> None:
    """It is refused as a wrong setting."""
    done = run("console", redis_url=store_url, http_host=host, http_plain=1, http_port=free_port())
    assert done.returncode == 2
    assert "CLOSER_HTTP_HOST" in done.stderr or "token" in done.stderr


def test_a_host_that_no_name_server_knows() -> None:
    """It is a wrong setting, too."""
    with pytest.raises(ConfigurationError, match="is not a host of this machine"):
        listen.listen("no.such.host.invalid", free_port())


def test_a_host_that_cannot_be_listened_on() -> None:
    """The reason is told."""
    with pytest.raises(ConfigurationError, match="the console cannot listen on"):
        listen.listen("192.0.2.1", free_port())


def test_an_address_of_version_6() -> None:
    """It is told as a browser takes it."""
    with listen.listen("::1", free_port()) as bound:
        assert listen.address_of(bound) == f"http://[::1]:{bound.getsockname()[1]}"


@asynccontextmanager
async def inside(real: Redis) -> AsyncIterator[int]:
    """A console in this process, so that its time limits can be short; its port."""
    port = free_port()
    server = Server(serve._config(load(http_port=port), Ledger(real)))
    running = asyncio.create_task(server._serve([listen.listen("127.0.0.1", port)]))
    await until_soon(lambda: server.started)
    try:
        yield port
    finally:
        server.should_exit = True
        await running


GET = b"GET /livez HTTP/1.1\r\nhost: localhost\r\n"
POST = b"POST /nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99\r\n\r\nx"


@pytest.mark.parametrize(
    ("sent", "answers"),
    [(b"", 0), (b"GET / HT", 0), (GET, 0), (GET + b"\r\n" + GET, 1), (POST, 1)],
    ids=[
        "nothing",
        "a part of a line",
        "no end of headers",
        "a second request without an end",
        "a body that nobody reads",
    ],
)
async def test_who_says_nothing_more(real: Redis, monkeypatch: pytest.MonkeyPatch, sent: bytes, answers: int) -> None:
    """The connection is closed, whatever part of a request has come."""
    monkeypatch.setattr(protocol, "HEADERS_S", 0.2)
    async with inside(real) as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert (await reader.read()).count(b"HTTP/1.1 ") == answers
        writer.close()


async def test_a_request_that_takes_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client may read nothing, or send nothing."""
    monkeypatch.setattr(shell, "REQUEST_S", 0.05)

    async def stuck(*_: object) -> None:
        await asyncio.Event().wait()

    async def send(message: Message) -> None:
        raise AssertionError(message)

    with pytest.raises(TimeoutError):
        await shell.Shell(stuck, tls=False)({"type": "http", "client": None}, stuck, send)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "smuggled",
    [
        b"GET /livez HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST /livez HTTP/1.1\r\nhost: a\r\ntransfer-encoding: x, chunked\r\n\r\n0\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost : a\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 700_000 + b"\r\n\r\n",
    ],
    ids=["two hosts", "two lengths", "two encodings", "a blank before the colon", "large headers"],
)
def test_smuggled_headers_are_refused(console: Console, smuggled: bytes) -> None:
    """What a proxy and the console could read in two ways is not read at all, and the connection ends."""
    with socket.create_connection(("127.0.0.1", console.port), timeout=20) as one:
        one.sendall(smuggled)
        answer = b""
        try:
            while chunk := one.recv(65_536):
                answer += chunk
        except ConnectionResetError:  # it was closed before all was read
            pass
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 501")) or not answer
    assert answer.count(b"HTTP/1.1 ") <= 1
