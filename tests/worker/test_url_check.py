"""Addresses of the store and of the broker: what their clients would stumble over is refused before they connect."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from tasks.errors import ConfigurationError
from worker.operations.check import broker
from worker.operations.finding import Finding
from worker.settings import Settings, load
from worker.settings.url_check import check_broker, check_redis

SECRET = "hunter2"
NOT_KNOWN, NOT_ALLOWED = "a parameter that is not known", "a value that is not allowed"
CERTIFICATES, DATABASE = "certificates or keys", "the number of a database"

REDIS = {
    "redis://h/0?foo=1": NOT_KNOWN,
    "unix:///s.sock?foo=1": NOT_KNOWN,
    "redis://h/0?socket_timeout=x": NOT_ALLOWED,
    "redis://h/0?db=x": NOT_ALLOWED,
    "redis://h/0?protocol=9": NOT_ALLOWED,
    "rediss://h/0?ssl_cert_reqs=perhaps": NOT_ALLOWED,
    "rediss://h/0?ssl_ca_certs=/missing.pem": CERTIFICATES,
    "rediss://h/0?ssl_certfile=/missing.pem": CERTIFICATES,
    "rediss://h/0?ssl_ca_certs=FILE": CERTIFICATES,
    "redis://h/x": DATABASE,
    "redis://h/0x": DATABASE,
    "redis://h/0/1": DATABASE,
}
BROKER = {
    "redis://h/0?foo=1": NOT_KNOWN,
    "redis://h/0?socket_timeout=3": NOT_KNOWN,
    "rediss://h/0?ssl_foo=1": NOT_KNOWN,
    "redis+socket:///s.sock?foo=1": NOT_KNOWN,
    "sentinel://h:1/0?foo=1": NOT_KNOWN,
    "amqp://h//?foo=1": NOT_KNOWN,
    "amqp://h//?heartbeat=x": NOT_ALLOWED,
    "amqp://h:99999//": NOT_ALLOWED,
    "rediss://h/0?ssl_cert_reqs=perhaps": NOT_ALLOWED,
    "rediss://h/0?ssl_ca_certs=/missing.pem": CERTIFICATES,
    "amqps://h//?ssl_ca_certs=/missing.pem": CERTIFICATES,
    "amqps://h//?ssl_ca_certs=FILE": CERTIFICATES,
    "redis://h/x": DATABASE,
}
GOOD = [
    "redis://h", "redis://h/", "redis://h:1/15", f"redis://u:{SECRET}@h:1/0", "rediss://h/0?ssl_cert_reqs=required",
    "redis://h/0?",
]  # fmt: skip


@pytest.mark.parametrize("url", REDIS)
def test_a_store_that_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    """An address that no client can use is a wrong setting; its values are not repeated."""
    (tmp_path / "no-pem").write_text("no certificate")
    scheme, _, rest = url.replace("FILE", str(tmp_path / "no-pem")).partition("://")
    monkeypatch.setenv("CLOSER_REDIS_URL", f"{scheme}://:{SECRET}@{rest}" if scheme != "unix" else f"unix://{rest}")
    with pytest.raises(ConfigurationError, match="CLOSER_REDIS_URL") as raised:
        load()
    assert REDIS[url] in str(raised.value)
    assert SECRET not in str(raised.value)


@pytest.mark.parametrize("url", BROKER)
def test_a_broker_that_is_refused(tmp_path: Path, url: str) -> None:
    """The same for the broker, whose library knows other parameters; `check` tells it as well."""
    (tmp_path / "no-pem").write_text("no certificate")
    scheme, _, rest = url.replace("FILE", str(tmp_path / "no-pem")).partition("://")
    given = f"{scheme}://:{SECRET}@{rest}" if scheme != "redis+socket" else f"{scheme}://{rest}"
    with pytest.raises(ConfigurationError, match="CLOSER_BROKER_URL") as raised:
        check_broker(given)
    assert BROKER[url] in str(raised.value)
    assert SECRET not in str(raised.value)
    line = broker(Settings.model_construct(broker_url=SecretStr(given)), pytest.fail)
    assert (line.finding, line.message) == (Finding.WRONG, str(raised.value))


@pytest.mark.parametrize("url", [*GOOD, "unix:///s.sock?db=1", "redis://h/0?socket_timeout=3"])
def test_a_store_that_is_used(url: str) -> None:
    """What redis-py understands is left alone."""
    check_redis(url)


@pytest.mark.parametrize(
    "url",
    [*GOOD, "redis+socket:///s.sock", "redis+socket:///s.sock?virtual_host=1", "amqp://u:p@h//", "amqps://h/v",
     "amqps://h/v?heartbeat=9", "sentinel://a:1;sentinel://b:1"],
)  # fmt: skip
def test_a_broker_that_is_used(url: str) -> None:
    """What Celery's library understands is left alone."""
    check_broker(url)


def test_what_may_be_a_password_is_not_repeated() -> None:
    """A parameter's name may be a part of a password that holds `?`: then it is not told."""
    with pytest.raises(ValueError, match="not known") as raised:
        check_redis(f"redis://h?{SECRET}=1@h/0")
    assert SECRET not in str(raised.value)
