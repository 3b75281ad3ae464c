"""Settings: each wrong variable is named with what it may be, and no secret is ever shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kombu import Connection

from tasks.errors import ConfigurationError
from worker.broker.celery_settings import celery_settings
from worker.settings import Settings, load, unknown_variables
from worker.settings.amqp_address import AmqpAddress
from worker.settings.redis_address import RedisAddress
from worker.settings.tls import Tls

SECRET = "hunter2-secret"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of this machine's own settings."""
    for name in list(os.environ):
        if name.startswith("CLOSER_"):
            monkeypatch.delenv(name)


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """What is said of these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(f"CLOSER_{name.upper()}", value)
    with pytest.raises(ConfigurationError) as raised:
        load()
    return str(raised.value)


def test_defaults() -> None:
    """Without any variable the settings are those that the design promises; empty ones count as unset."""
    settings = load()
    assert (settings.api_base_url, settings.api_version) == ("https://api.sorted.com/pro", "1.1")
    assert (settings.concurrency, settings.rate_limit, settings.lock_before_close) == (100, 0, "never")
    assert settings.events_stream == "shipment-groups.complete"
    assert settings.embedded
    assert settings.store == settings.broker == RedisAddress(socket=str(settings.socket_path))
    assert settings.public_store_address == settings.public_broker_address == f"unix://{settings.socket_path}"
    assert settings.request_timeout < settings.attempt_budget < settings.lease
    with pytest.raises(ConfigurationError, match="CLOSER_API_KEY is not set"):
        settings.need_api_key()


def test_a_long_temporary_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A socket's path is never too long for the kernel, however long the names of the folders; nor are two the same."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("t" * 100)))
    paths = {Settings(data_dir=tmp_path / ("d" * 100) / name).socket_path for name in "ab"}
    assert len(paths) == 2
    assert all(len(str(path)) <= 100 for path in paths)


def test_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables are read by their names; the broker is the store unless it is named; a secret stays one in a repr."""
    monkeypatch.setenv("CLOSER_REDIS_URL", f"rediss://u:{SECRET}@host:6379/2")
    monkeypatch.setenv("CLOSER_API_KEY", SECRET)
    monkeypatch.setenv("CLOSER_CONCURRENCY", "")
    settings = load()
    there = RedisAddress("host", database=2, username="u", password=SECRET, tls=Tls())
    assert settings.store == settings.broker == there
    assert not settings.embedded
    assert settings.concurrency == 100
    assert settings.need_api_key().get_secret_value() == SECRET
    monkeypatch.setenv("CLOSER_BROKER_URL", f"amqp://u:{SECRET}@host//")
    assert load().broker == AmqpAddress(f"amqp://u:{SECRET}@host//")
    assert SECRET not in repr(load()) + repr(load().store) + repr(load().broker)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("concurrency", "0", "greater than or equal to 1 (it is '0')"),
        ("concurrency", "many", "integer"),
        ("request_timeout", "-1", "greater than 0"),
        ("request_timeout", "601", "less than or equal to 600"),
        ("lease", "nan", "less than or equal"),
        ("lease", "inf", "less than or equal to 2592000"),
        ("retry_base", "5s", "number"),
        ("retry_deadline", "0", "greater than 0"),
        ("rate_limit", "-1", "greater than or equal to 0"),
        ("rate_limit", "nan", "less than or equal"),
        ("lock_before_close", "always", "'never' or 'if-needed'"),
        ("log_level", "LOUD", "'debug', 'info', 'warning' or 'error'"),
        ("log_format", "xml", "'text' or 'json'"),
        ("allow_http", "maybe", "boolean"),
        ("api_version", "1.1\r\nX: y", "match pattern"),
        ("events_stream", "x" * 201, "at most 200 characters"),
        ("concurrency", f"redis://:{SECRET}@host", "integer"),
        ("api_version", f"redis://:{SECRET}@host", "match pattern"),
        ("event_types", " , ", "names no type"),
        ("cancel_event_types", " , ", "names no type"),
        ("event_types", "x" * 10_001, "at most 10000 characters"),
        ("retain_closed_days", "0", "greater than 0"),
        ("retain_rejected_days", "-1", "greater than or equal to 0"),
        ("redis_url", f"http://:{SECRET}@host", "redis://, rediss://, unix://"),
        ("redis_url", f"{SECRET}", "redis://, rediss://, unix://"),
        ("redis_url", f"redis://:{SECRET}@host:port/0", "port"),
        ("redis_url", f"redis://:12/{SECRET}@host/0", "/ as %2F"),
        ("redis_url", f"redis://:a@b/{SECRET}@host/0", "@ as %40"),
        ("redis_url", f"redis://:[{SECRET}]@host/0", "[ as %5B"),
        ("redis_url", f"redis://:{SECRET}\u2100@host/0", "cannot be read"),
        ("redis_url", f"unix://u:pa/{SECRET}@/run/store.sock", "/ as %2F"),
        ("broker_url", f"sqs://{SECRET}", "amqp://"),
        ("broker_url", f"amqp://u:pa/{SECRET}@host/", "/ as %2F"),
        ("broker_url", f"amqp://u:{SECRET}@host:port/", "cannot be read"),
        ("broker_url", f"amqp://u:1@host/{SECRET}@host/", "@ as %40"),
        ("broker_url", f"amqp://:hunter;2{SECRET}@host//", "%3B"),
        ("api_key", f"{SECRET}\nx", "cannot stand in a header"),
        ("api_key", f"{SECRET} x", "cannot stand in a header"),
        ("api_base_url", "api.sorted.com", "https://HOST/PATH"),
        ("api_base_url", "ftp://api.sorted.com", "https://HOST/PATH"),
        ("api_base_url", "https://", "https://HOST/PATH"),
        ("api_base_url", "https://host/pro?x=1", "https://HOST/PATH"),
        ("api_base_url", "https://host/pro#x", "https://HOST/PATH"),
        ("api_base_url", f"https://u:{SECRET}@host/pro", "https://HOST/PATH"),
        ("api_base_url", "https://[::1/pro", "https://HOST/PATH"),
        ("api_base_url", "https://host:99999/pro", "https://HOST/PATH"),
        ("api_base_url", "https://host/a b", "https://HOST/PATH"),
        ("api_base_url", "https://host/\npro", "https://HOST/PATH"),
        ("api_base_url", "http://api.sorted.com/pro", "CLOSER_ALLOW_HTTP=1"),
        ("api_base_url", "HTTP://api.sorted.com/pro", "CLOSER_ALLOW_HTTP=1"),
    ],
)
def test_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str) -> None:
    """A wrong value is refused by the variable's name, with what is allowed, and a secret is not repeated."""
    text = refusal(monkeypatch, **{name: value})
    assert f"CLOSER_{name.upper()}" in text
    assert words in text
    assert SECRET not in text


def test_event_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a list the rule holds; a list, even one of a single type, replaces it."""
    assert load().accepted_types.accept("group.complete")
    monkeypatch.setenv("CLOSER_EVENT_TYPES", "trailer.dispatched, cage.*")
    types = load().accepted_types
    assert [types.accept(one) for one in ("trailer.dispatched", "cage.done", "group.complete")] == [True, True, False]


def test_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All wrong variables are named together, one a line."""
    text = refusal(monkeypatch, concurrency="x", lease="x", api_key="a b")
    assert [line.split(":")[0].strip() for line in text.splitlines()[1:]] == [
        "CLOSER_API_KEY", "CLOSER_CONCURRENCY", "CLOSER_LEASE",
    ]  # fmt: skip


def test_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Values that do not fit together are refused with both names and both numbers."""
    assert "CLOSER_LEASE (15 s) must be more than CLOSER_REQUEST_TIMEOUT (15 s)" in refusal(monkeypatch, lease="15")
    monkeypatch.delenv("CLOSER_LEASE")
    text = refusal(monkeypatch, retry_base="10", retry_cap="9")
    assert "CLOSER_RETRY_CAP (9 s) must not be less than CLOSER_RETRY_BASE (10 s)" in text


@pytest.mark.parametrize("url", ["http://localhost:8080", "http://127.0.0.1:1/pro", "http://[::1]:1", "https://x/"])
def test_addresses_that_are_allowed(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """This machine may be asked without TLS, others with it; or without, when that is asked for."""
    monkeypatch.setenv("CLOSER_API_BASE_URL", url)
    assert load().api_base_url == url
    monkeypatch.setenv("CLOSER_API_BASE_URL", "http://stand-in:8080/pro")
    monkeypatch.setenv("CLOSER_ALLOW_HTTP", "1")
    assert load().allow_http


def test_unknown_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable is found; known ones and others' are not."""
    for name in ("CLOSER_CONCURENCY", "CLOSER_LEASE", "CLOSE_X"):
        monkeypatch.setenv(name, "1")
    assert unknown_variables() == ["CLOSER_CONCURENCY"]


def test_socket_path(tmp_path: Path) -> None:
    """The socket lies in the data directory, or elsewhere, always in the same place, when that name is too long."""
    near = Settings(data_dir=Path("/tmp/d"))
    assert near.socket_path == Path("/tmp/d").resolve() / "store.sock"
    long = tmp_path / ("x" * 120)
    paths = {Settings(data_dir=folder).socket_path for folder in (long, long / "." / "a" / "..", long)}
    assert len(paths) == 1
    assert len(os.fsencode(paths.pop())) <= 100
    assert Settings(data_dir=long / "other").socket_path != Settings(data_dir=long).socket_path


def test_a_semicolon_in_the_stores_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """To Celery a `;` begins another address: it gets it escaped, and reads the password that the store knows."""
    monkeypatch.setenv("CLOSER_REDIS_URL", "redis://:hunter;2secret@host/0")
    broker = Connection(celery_settings(load())["broker_url"])
    assert (broker.hostname, broker.password, broker.alt) == ("host", "hunter;2secret", [])
    assert load().public_store_address == "redis://host/0"


def test_data_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The data lie where the desktop's rules say, unless told otherwise."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert load().data_dir == tmp_path / "closer"


@pytest.mark.parametrize("folder", ["~nobody-of-this-name", "~nobody-of-this-name/closer"])
def test_no_home(monkeypatch: pytest.MonkeyPatch, folder: str) -> None:
    """A home directory that nobody knows (a container's arbitrary user) is refused by the variable to set."""
    text = refusal(monkeypatch, data_dir=folder)
    assert "CLOSER_DATA_DIR: the home directory that ~ stands for is not known" in text


@given(
    st.sampled_from(sorted(Settings.model_fields)),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
)
def test_any_value(name: str, value: str) -> None:
    """Any text in any variable is accepted, or refused in our own words: no traceback."""
    patch = pytest.MonkeyPatch()
    patch.setenv(f"CLOSER_{name.upper()}", value)
    try:
        load()
    except ConfigurationError as error:
        assert "CLOSER_" in str(error)  # noqa: PT017
    finally:
        patch.undo()


def test_cancel_event_types(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the list nothing cancels; with it the types of both lists are known."""
    assert not load().accepted_types.cancels("group.cancelled")
    monkeypatch.setenv("CLOSER_CANCEL_EVENT_TYPES", "group.cancelled, *.reopened")
    types = load().accepted_types
    assert (types.cancels("a.reopened"), types.accept("a.reopened"), types.accept("group.complete")) == (
        True,
        False,
        True,
    )
