"""The net under the secrets: none of this process's environment is in a log line, a traceback or an error's text."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, unquote

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from tests.support import CLOSER, count, environment, free_port, publish, until, url_of, valkey
from worker.observe.redaction import HIDDEN, RedactingFormatter, Redaction
from worker.simulator.server import run_in_thread

# The pieces of the passwords below that no output may hold.
PIECES = ("Pa55word", "hunter", "2secret", "s3cr")
URLS = [
    "redis://:12/Pa55word@127.0.0.1:1/0",
    "redis://:hunter;2secret@127.0.0.1:1/0",
    "redis://:hunter/2secret@127.0.0.1:1/0",
    "redis://:hunter?2secret@127.0.0.1:1/0",
    "redis://:hunter#2secret@127.0.0.1:1/0",
    "redis://:[hunter]2secret@127.0.0.1:1/0",
    "redis://:hunter@2secret@127.0.0.1:1/0",
    "redis://:hunter@x/2secret@127.0.0.1:1/0",
    "redis://:hunter%2F2secret@127.0.0.1:1/0",
    "redis://:hunter\u21002secret@127.0.0.1:1/0",
    "redis://u:Pa55word@127.0.0.1:port/0",
    "redis://:Pa55word/0",
    "redis://127.0.0.1:1/0?password=Pa55word",
    "redis://127.0.0.1:1/0?socket_timeout=Pa55word&password=Pa55word",
]
ODD_PROXIES = [
    "http://u:hunter/Pa55word@proxy:3128",
    "http://u:Pa55word@proxy:port",
    "http://u:hunter;2secret@127.0.0.1:1",
    "http://u:[hunter]@127.0.0.1:1",
    "socks9://u:Pa55word@127.0.0.1:1",
    "u:Pa55word@127.0.0.1:1",
]


def said(*command: str, folder: Path, **settings: object) -> str:
    """All that a command writes, to its end."""
    done = subprocess.run(
        command, env=environment(data_dir=folder, **settings), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode
    return done.stdout + done.stderr


def assert_discreet(text: str) -> None:
    """There are words, and no piece of a password is among them."""
    assert text.strip()
    assert [piece for piece in PIECES if piece.lower() in text.lower()] == []


@pytest.mark.long(but=["redis://:hunter/2secret@127.0.0.1:1/0"])
@pytest.mark.parametrize("url", URLS)
def test_store_addresses(tmp_path: Path, url: str) -> None:
    """`status` and `check` of a store whose address is odd, and that is not there, show nothing of the password."""
    for command in ("status", "check"):
        assert_discreet(said(*CLOSER, command, folder=tmp_path, redis_url=url, api_base_url="http://127.0.0.1:1"))


@pytest.mark.long(but=["amqp://u:hunter@2secret@127.0.0.1:1/"])
@pytest.mark.parametrize(
    "url",
    [
        "amqp://u:pa/Pa55word@127.0.0.1:1/",
        "amqp://u:hunter;2secret@127.0.0.1:1/",
        "amqp://u:hunter@2secret@127.0.0.1:1/",
        "amqp://u:Pa55word@127.0.0.1:port/",
        "amqp://u:Pa55word@127.0.0.1:1//;amqp://u:Pa55word@127.0.0.1:2//",
        "sentinel://:Pa55word@127.0.0.1:1",
        "redis://:hunter?2secret@127.0.0.1:1/0",
    ],
)
def test_broker_addresses(tmp_path: Path, store_url: str, url: str) -> None:
    """`check` of a broker whose address is odd, and that is not there, shows nothing of the password."""
    settings = {"redis_url": store_url, "broker_url": url, "api_base_url": "http://127.0.0.1:1"}
    assert_discreet(said(*CLOSER, "check", folder=tmp_path, **settings))


@pytest.mark.long(but=["http://u:Pa55word@proxy:port"])
@pytest.mark.parametrize("proxy", ODD_PROXIES)
def test_proxies(tmp_path: Path, store_url: str, proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's password is in no message and no traceback of `check`, which asks the API."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    url = f"https://127.0.0.1:{free_port()}/pro"
    assert_discreet(said(*CLOSER, "check", folder=tmp_path, redis_url=store_url, api_base_url=url))


CRASH = """
import sys, threading
from worker.observe.last_words import guard_tracebacks
guard_tracebacks()
def crash(): raise ValueError("redis://:s3cr%21et@h/ s3cr!et")
thread = threading.Thread(target=crash)
thread.start()
thread.join()
crash()
"""


def test_uncaught_errors(tmp_path: Path) -> None:
    """The traceback of an error that ends a thread or the process holds no secret, and all else."""
    text = said(sys.executable, "-c", CRASH, folder=tmp_path, redis_url="redis://:s3cr%21et@h/")
    assert_discreet(text)
    assert text.count("ValueError: redis://:***@h/ ***") == 2


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=4, max_size=20))
def test_every_form(password: str) -> None:
    """A password is found as it is, with %XX, without, in JSON and in Python's quotes."""
    hide = Redaction({"CLOSER_REDIS_URL": f"redis://u:{password}@host/0"})
    plain = unquote(password)
    for form in (password, plain, quote(plain, safe="")):
        if len(form) >= 4:
            for text in (form, json.dumps(form), repr(form), f"redis://u:{form}@host/0"):
                assert form not in hide(text).replace(HIDDEN, "\0" * 40)


def test_which_variables() -> None:
    """The key, and the passwords of our addresses and of proxies, are secret; names, hosts and short words are not."""
    hide = Redaction({
        "CLOSER_API_KEY": "the-key", "CLOSER_OPERATOR": "olga@corp", "CLOSER_REDIS_URL": "redis://user:pass1@host/0",
        "CLOSER_BROKER_URL": "amqp://u:pass2@first;amqp://u:pass2@second", "https_proxy": "u:pass3@proxy",
        "ALL_PROXY": "http://u:ab@proxy", "CELERY_BROKER_URL": "amqp://u:pass4@h", "CLOSER_DATA_DIR": "/data/olga@corp",
    })  # fmt: skip
    hidden = "the-key pass1 pass2 pass3 pass4"
    shown = "olga corp user host amqp first second proxy redis ab h /data"
    assert hide(f"{hidden} {shown}") == f"{' '.join([HIDDEN] * 5)} {shown}"


@pytest.mark.parametrize(
    ("variables", "secret"),
    [
        ({"CLOSER_API_KEY": "the-key\n"}, "the-key"),
        ({"closer_api_key": " the-key"}, "the-key"),
        ({"closer_redis_url": "redis://:the-word@h\r\n"}, "the-word"),
        ({"https_proxy": "http://u:the-word@h:1 "}, "the-word"),
        ({"CLOSER_API_KEY": "the-k\udcffey"}, "the-k\udcffey"),
    ],
)
def test_as_the_settings_read_them(variables: dict[str, str], secret: str) -> None:
    """A secret is hidden as it is used: without blanks at its ends, in a name of any case; whatever its bytes are."""
    assert Redaction(variables)(f"with {secret}.") == f"with {HIDDEN}."


def test_log_lines() -> None:
    """What a formatter makes of a message, a field or an error is cleaned as a whole."""
    formatter = RedactingFormatter(logging.Formatter("%(message)s"), Redaction({"CLOSER_API_KEY": "the-key"}))
    made = logging.LogRecord("x", logging.INFO, "f", 1, "with %s", ("the-key",), None)
    assert formatter.format(made) == "with ***"


@pytest.mark.parametrize("command", [["-m", "worker", "worker"], ["-m", "celery", "-A", "worker.app", "worker"]])
def test_a_worker(tmp_path: Path, command: list[str]) -> None:
    """A worker whose store has an odd password works, and neither its lines nor Celery's banner show any of it."""
    password = "hunter;2secret s3cr!et:x"
    with valkey(tmp_path) as server, redis.Redis.from_url(url_of(server)) as store, run_in_thread() as (url, _):
        store.config_set("requirepass", password)
        store.auth(password)
        publish(store, ["sg_1"])
        address = url_of(server).replace("://", f"://:{password}@")
        settings = environment(redis_url=address, api_base_url=url, data_dir=tmp_path, log_level="debug")
        with (
            (tmp_path / "log").open("wb") as log,
            subprocess.Popen([sys.executable, *command], env=settings, stdout=log, stderr=log) as worker,
        ):
            until(lambda: count(store, "closed"), "closed")
            store.shutdown(nosave=True)
            until(lambda: "Connection to broker lost" in (tmp_path / "log").read_text(), "Celery notices")
            worker.kill()
    assert_discreet((tmp_path / "log").read_text())
