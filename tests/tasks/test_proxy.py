"""The way to the API through a proxy: a real proxy tells what it got, and no secret is among it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from tasks.api.client import SortedApi
from tasks.api.egress import proxy_of
from tasks.api.reply import Body, Failure, NoReply, Reply
from tasks.errors import ConfigurationError
from tests.support import API_KEY
from tests.tasks.standin import CLOSED, REF, StandIn, stand_in
from tests.tasks.tunnel import TLS, Tunnel, server_tls, tunnel

PASSWORD = "hunter2 €/@:?#"
ENCODED = "hunter2%20%E2%82%AC%2F%40%3A%3F%23"
GIVEN = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
API_URL = "https://api.test/pro"
VARIABLES = [f"{kind}_PROXY" for kind in ("HTTP", "HTTPS", "NO", "ALL")]


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of this machine's own proxies, and the tests' certificate is trusted."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS))


@pytest.fixture
async def standin() -> AsyncIterator[StandIn]:
    """An API that speaks TLS."""
    async with stand_in(server_tls()) as running:
        yield running


@pytest.fixture
async def proxy(standin: StandIn) -> AsyncIterator[Tunnel]:
    """A proxy that leads to it."""
    async with tunnel(urlsplit(standin.url).port or 0) as running:
        yield running


@pytest.fixture
async def client() -> AsyncIterator[Callable[[str], SortedApi]]:
    """Makes clients of the API."""
    made = []

    def make(url: str) -> SortedApi:
        made.append(SortedApi(base_url=url, key=SecretStr(API_KEY), version="7.7", timeout_s=5, connections=1))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


async def test_no_proxy_sees_the_key(
    standin: StandIn, proxy: Tunnel, client: Callable[[str], SortedApi], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy is asked for a tunnel and gets its own credentials; what is for the API goes to the API alone."""
    monkeypatch.setenv("https_proxy", f"http://me:{ENCODED}@{proxy.place}")
    standin.script.extend([CLOSED] * 3)
    api = client(API_URL)
    for call in (api.close, api.lock, api.state):
        assert await call(REF) == Reply(200, Body(reference=REF))
    [connect] = proxy.asked  # one tunnel for all three calls
    assert connect.startswith(b"CONNECT api.test:443 HTTP/1.1\r\n")
    assert f"\r\nproxy-authorization: basic {GIVEN}\r\n".lower() in connect.decode().lower()
    for foreign in (API_KEY.encode(), b"x-api-key", b"x-api-version", b"7.7", REF.encode()):
        assert foreign not in bytes(proxy.heard).lower()
    for request in standin.requests:
        assert (request.headers["x-api-key"], request.headers["x-api-version"]) == (API_KEY, "7.7")
        assert request.headers["Host"] == "api.test"
        assert "Proxy-Authorization" not in request.headers


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY"])
async def test_no_proxy_reads_an_api_without_tls(
    client: Callable[[str], SortedApi], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """Without TLS a proxy would read the key: that is refused, unless NO_PROXY says that it is not used."""
    monkeypatch.setenv(variable, f"http://me:{ENCODED}@127.0.0.1:1")
    with pytest.raises(ConfigurationError, match="must be https://") as refused:
        client("http://api.invalid/pro")
    assert "hunter2" not in str(refused.value)
    assert API_KEY not in str(refused.value)
    monkeypatch.setenv("no_proxy", "api.invalid")
    reply = await client("http://api.invalid/pro").close(REF)
    assert isinstance(reply, NoReply)
    assert reply.failure is Failure.CONNECT


LOOPBACK = [
    "127.0.0.1", "127.8.9.10", "localhost", "LOCALHOST", "localhost.", "api.localhost", "[::1]", "[::ffff:127.0.0.1]",
    "127.1", "2130706433", "0x7f.0.0.1", "0.0.0.0", "0", "[::]",
]  # fmt: skip


@pytest.mark.parametrize("host", LOOPBACK)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_this_machine_is_called_directly(monkeypatch: pytest.MonkeyPatch, scheme: str, host: str) -> None:
    """A loopback address, however it is written, means this machine; through a proxy it would mean the proxy's."""
    monkeypatch.setenv(f"{scheme}_proxy", "http://proxy.corp:3128")
    monkeypatch.setenv("ALL_PROXY", "socks5://proxy.corp:1080")
    assert proxy_of(f"{scheme}://{host}:8083/pro") is None
    assert scheme == "http" or all(proxy_of(f"https://{far}/pro") for far in ("localhost.corp", "128.1", "1.127.0.0"))


async def test_calls_to_this_machine(
    standin: StandIn, proxy: Tunnel, client: Callable[[str], SortedApi], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulated API on this machine is reached although a proxy is set, and the proxy hears nothing of it."""
    monkeypatch.setenv("https_proxy", f"http://{proxy.place}")
    standin.script.append(CLOSED)
    assert await client(standin.url).close(REF) == Reply(200, Body(reference=REF))
    assert not proxy.heard


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "ALL_PROXY"])
async def test_a_proxy_is_used(
    standin: StandIn, client: Callable[[str], SortedApi], monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
) -> None:
    """A call arrives through the proxy, also when the way to the proxy is TLS, and its connection is kept."""
    async with tunnel(urlsplit(standin.url).port or 0, server_tls() if scheme == "https" else None) as running:
        monkeypatch.setenv(variable, f"{scheme}://me:{ENCODED}@localhost:{running.port}")
        standin.script.extend([CLOSED] * 2)
        api = client(API_URL)
        for _ in range(2):
            assert await api.close(REF) == Reply(200, Body(reference=REF))
        assert len(running.asked) == 1
        assert API_KEY.encode() not in running.heard
        await api.aclose()


@pytest.mark.parametrize(
    ("url", "no_proxy", "through"),
    [
        ("https://api.test:8443/pro", "api.test:8443", False),
        ("https://api.test:8443/pro", "api.test:443", True),
        ("https://api.test/pro", "10.0.0.0/8, .test", False),
        ("https://api.test/pro", "10.0.0.0/8, .tes", True),
        ("https://127.0.0.1:1/pro", "", False),
    ],
)
async def test_no_proxy_variable(
    standin: StandIn,
    proxy: Tunnel,
    client: Callable[[str], SortedApi],
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    no_proxy: str,
    through: bool,
) -> None:
    """A host that NO_PROXY names, and this machine, are called directly; the proxy hears of the others only."""
    monkeypatch.setenv("https_proxy", f"http://{proxy.place}")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    standin.script.append(CLOSED)
    reply = await client(url).close(REF)
    assert isinstance(reply, Reply) is through  # nobody resolves `api.test`, and nobody listens at port 1
    assert bool(proxy.asked) is through


UNESCAPED = [
    "http://me:12/hunter2@proxy.corp:3128",
    "http://me:12?hunter2@proxy.corp:3128",
    "http://me:12#hunter2@proxy.corp:3128",
    "me:12/hunter2@proxy.corp:3128",
    "http://me%3Ahim:hunter2@proxy.corp:3128",
]


@pytest.mark.parametrize("address", UNESCAPED)
def test_an_ambiguous_proxy(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """A password with an unescaped `/`, `?`, `#` or `@` would make a part of it the host that is called."""
    monkeypatch.setenv("https_proxy", address)
    with pytest.raises(ConfigurationError, match="must be written as %XX") as refused:
        proxy_of(API_URL)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n", Failure.CONNECT),
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", Failure.CONNECT),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Failure.PROTOCOL),
        (b"", Failure.CUT),
        (b"Proxy-Authorization: " + GIVEN.encode(), Failure.PROTOCOL),
    ],
)
async def test_a_proxy_that_refuses(
    standin: StandIn,
    proxy: Tunnel,
    client: Callable[[str], SortedApi],
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes,
    expected: Failure,
) -> None:
    """A proxy that opens no tunnel is told without its password; the API gets no call."""
    monkeypatch.setenv("https_proxy", f"http://me:{ENCODED}@{proxy.place}")
    proxy.answer = answer
    reply = await client(API_URL).close(REF)
    assert isinstance(reply, NoReply)
    assert reply.failure is expected
    assert "hunter2" not in reply.detail
    assert GIVEN[:12] not in reply.detail
    assert standin.requests == []


async def test_a_proxy_that_is_away(
    client: Callable[[str], SortedApi], monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    """So is one that nobody listens at; neither the error nor the client shows the password."""
    monkeypatch.setenv("https_proxy", f"http://me:{ENCODED}@127.0.0.1:{unused_tcp_port}")
    api = client(API_URL)
    reply = await api.close(REF)
    assert isinstance(reply, NoReply)
    assert reply.failure is Failure.CONNECT
    for text in (reply.detail, repr(api), *map(repr, vars(api).values()), *map(repr, vars(api._transport).values())):
        assert "hunter2" not in text
        assert GIVEN not in text
