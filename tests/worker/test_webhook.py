"""The webhook: signed as Standard Webhooks, and a receiver that is slow, dead or lying harms nobody."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator

import pytest
from pydantic import SecretStr
from standardwebhooks.webhooks import Webhook as Verifier

from tasks.errors import ConfigurationError
from tests.receiver import Receiver, receiver
from tests.support import free_port
from worker.observe import webhook as webhooks
from worker.observe.webhook import Message, Webhook
from worker.settings import Settings, load
from worker.settings.alerts import signing_key

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
MESSAGE = Message("id-1", {"type": "closer.x", "text": 'höher\n"quoted"'})


@pytest.fixture
def told() -> Iterator[Receiver]:
    """A receiver."""
    with receiver() as running:
        yield running


async def sent(url: str, secret: str | None = None) -> str | None:
    """Send the message; why it was not taken."""
    one = Webhook(url, signing_key(SecretStr(secret)) if secret else None)
    try:
        return await one.send(MESSAGE)
    finally:
        await one.aclose()


async def test_it_is_signed(told: Receiver) -> None:
    """The library of Standard Webhooks accepts it; with another secret, or another body, it does not."""
    assert await sent(told.url, SECRET) is None
    [(headers, body)] = told.got
    assert Verifier(SECRET).verify(body, headers) == MESSAGE.body
    assert headers["webhook-id"] == "id-1"
    other = "whsec_" + base64.b64encode(bytes(32)).decode()
    for verifier, given in ((Verifier(other), body), (Verifier(SECRET), body + b" ")):
        with pytest.raises(Exception, match="No matching signature"):
            verifier.verify(given, headers)


async def test_without_a_secret_it_is_not_signed(told: Receiver) -> None:
    """Slack and others check none."""
    assert await sent(told.url) is None
    [(headers, _)] = told.got
    assert "webhook-signature" not in headers
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("status", [301, 307, 400, 404, 410, 429, 500, 503])
async def test_what_is_not_a_2xx_is_not_delivered(told: Receiver, status: int) -> None:
    """A redirect is not followed either: it might lead anywhere."""
    told.status = status
    assert await sent(told.url) == f"127.0.0.1 answers with {status}"
    assert len(told.got) == 1


async def test_a_receiver_that_hangs(told: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is left after a while."""
    monkeypatch.setattr(webhooks, "WAIT_S", 0.5)
    told.hangs = threading.Event()
    assert "did not answer within" in str(await sent(told.url))


async def test_a_body_that_never_ends(told: Receiver) -> None:
    """Nobody reads it."""
    told.endless, told.status = True, 200
    assert await sent(told.url) is None


async def test_nobody_is_there() -> None:
    """The words name the host and not the rest of the address, which may be a secret."""
    problem = await sent(f"http://user:secret@127.0.0.1:{free_port()}/hook/T0KEN")
    assert problem == "127.0.0.1 cannot be reached (ConnectError)"


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "ftp://x", "http://[", "http://127.0.0.1:9"])
async def test_a_proxy_that_cannot_be_used(told: Receiver, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """Alerts are not delivered, and nothing else happens."""
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ALL_PROXY", proxy)
    assert "127.0.0.1 cannot be reached" in str(await sent(told.url))
    assert told.got == []


@pytest.mark.parametrize("url", ["ftp://x/y", "hooks.example.com/x", "https://", "https://x/a b", "https://x/\u00e9"])
def test_a_wrong_address(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """It is refused at the start, and not repeated."""
    monkeypatch.setenv("CLOSER_ALERT_WEBHOOK_URL", url)
    with pytest.raises(ConfigurationError, match="CLOSER_ALERT_WEBHOOK_URL: is not an http") as refused:
        load()
    assert f"{url!r}" not in str(refused.value)


@pytest.mark.parametrize("secret", ["x", "whsec_", "whsec_!!!", "whsec_c2hvcnQ=", SECRET.removeprefix("whsec_")])
def test_a_wrong_secret(monkeypatch: pytest.MonkeyPatch, secret: str) -> None:
    """It is refused at the start, with a command that makes a right one, and not repeated."""
    monkeypatch.setenv("CLOSER_ALERT_WEBHOOK_SECRET", secret)
    with pytest.raises(ConfigurationError, match="openssl rand -base64 32") as refused:
        load()
    assert "it is '" not in str(refused.value)


def test_no_webhook() -> None:
    """Without an address there is none."""
    assert Webhook.of(Settings()) is None
    both = Settings(alert_webhook_url=SecretStr("https://h/x"), alert_webhook_secret=SecretStr(SECRET))
    made = Webhook.of(both)
    assert made is not None
    assert made.host == "h"
