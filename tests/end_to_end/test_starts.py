"""A worker that cannot start ends with its reason and has taken nothing; one whose store is away waits for it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from celery import Celery

from tasks.celery_task import TASK_NAME
from tests.end_to_end.fleet import SETTINGS, own_store
from tests.faults.inside import planted
from tests.support import Process, environment, free_port, key_of, until, url_of, valkey
from worker.settings import load
from worker.simulator.server import Simulator, run_in_thread

ROOT = Path(__file__).parents[2]
COMMANDS = {"closer": ["-m", "worker", "worker"], "celery": ["-m", "celery", "-A", "worker.app", "worker"]}
SECRET = "hunter2"
END_S = 60.0
WRONG, DEFECT = 2, os.EX_SOFTWARE

# A defect of our own in the last of the parts that are started.
DEFECT_IN = """
from worker.process.{module} import {kind}
def fail(*arguments, **more):
    raise LookupError("a defect of our own")
{kind}.{method} = fail
"""

# Too few files may be opened when Celery connects.
GIVES_UP = """
import errno
from celery.worker.consumer.connection import Connection
def start(self, consumer):
    raise OSError(errno.EMFILE, "Too many open files")
Connection.start = start
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """Variables that keep a worker from starting, and what it says then. URL and FOLDER stand for the test's own."""

    variables: dict[str, str]
    code: int
    words: tuple[str, ...]
    unset: tuple[str, ...] = field(default=("SSL_CERT_FILE", "SSL_CERT_DIR"))


def wrong(words: str, **variables: str) -> Fault:
    """A variable that has to be corrected, and is named."""
    return Fault(variables, WRONG, (next(iter(variables)), words))


FAULTS = {
    "socks proxy": wrong("cannot use a socks5 proxy", HTTPS_PROXY=f"socks5://u:{SECRET}@proxy:1080"),
    "socks proxy for all": wrong("cannot use a socks5h proxy", ALL_PROXY=f"socks5h://u:{SECRET}@proxy:1080"),
    "network in NO_PROXY": wrong("10.0.0.0/33", NO_PROXY="10.0.0.0/33", HTTPS_PROXY="http://proxy:3128"),
    "proxy's port": wrong("cannot be read", https_proxy=f"http://u:{SECRET}@proxy:99999"),
    "no certificates": wrong("No such file", SSL_CERT_FILE="/missing.pem"),
    "certificates that are none": wrong("NO_CERTIFICATE", SSL_CERT_FILE="/etc/hostname"),
    "certificates that are a folder": wrong("directory", SSL_CERT_FILE="FOLDER"),
    "no folder of certificates": wrong("finds no certificate", SSL_CERT_DIR="/missing"),
    "empty folder of certificates": wrong("finds no certificate", SSL_CERT_DIR="FOLDER"),
    "store's parameter": wrong("the parameter foo is not known", CLOSER_REDIS_URL="URL?foo=1"),
    "store's time-out": wrong("closer chooses it itself", CLOSER_REDIS_URL="URL?socket_timeout=3"),
    "store's certificates": wrong(
        "certificates or keys", CLOSER_REDIS_URL=f"rediss://:{SECRET}@h/0?ssl_ca_certs=/missing.pem"
    ),
    "store's database": wrong("number of a database", CLOSER_REDIS_URL="URLx"),
    "broker's parameter": wrong("the parameter foo is not known", CLOSER_BROKER_URL="URL?foo=1"),
    "broker's certificates": wrong(
        "certificates or keys", CLOSER_BROKER_URL=f"amqps://u:{SECRET}@h//?ssl_ca_certs=/missing.pem"
    ),
    "home": wrong("home directory", CLOSER_DATA_DIR="~nobody-of-this-name/closer"),
}


@contextmanager
def started(command: str, folder: Path, fault: Fault, url: str) -> Iterator[subprocess.Popen[str]]:
    """A worker with this fault."""
    given = environment(redis_url=url, api_base_url="https://api.invalid/pro", data_dir=folder / "data")
    given = {name: value for name, value in given.items() if name not in fault.unset}
    given |= {name: value.replace("URL", url).replace("FOLDER", str(folder)) for name, value in fault.variables.items()}
    with subprocess.Popen(
        [sys.executable, *COMMANDS[command]], env=given, cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as worker:  # fmt: skip
        try:
            yield worker
        finally:
            worker.kill()


def send(url: str, reference: str) -> None:
    """A foreign program's task."""
    with Celery("stranger", broker=url, set_as_current=False) as app:
        app.send_task(TASK_NAME, [[reference]])


def check_end(command: str, folder: Path, fault: Fault, store: redis.Redis, url: str) -> None:
    """The worker ends by itself, says why, and the foreign program's task is where it was."""
    send(url, "foreign")
    with started(command, folder, fault, url) as worker:
        output = worker.communicate(timeout=END_S)[0]
    assert worker.returncode == fault.code, output
    assert all(words in output for words in fault.words), output
    assert SECRET not in output
    assert "Traceback" not in output or fault.code == DEFECT
    assert (store.llen("celery"), store.hlen("unacked")) == (1, 0)


@pytest.mark.long(but=["socks proxy", "no certificates", "store's parameter", "broker's parameter"])
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_waiting_cannot_mend(store: redis.Redis, store_url: str, tmp_path: Path, fault: Fault) -> None:
    """A fault that does not pass ends the process with code 2 and names the variable; nothing was taken."""
    check_end("closer", tmp_path, fault, store, store_url)


@pytest.mark.long(but=["socks proxy"])
@pytest.mark.parametrize("name", ["socks proxy", "no certificates", "store's parameter", "broker's parameter"])
def test_as_celery_starts_it(store: redis.Redis, store_url: str, tmp_path: Path, name: str) -> None:
    """`celery -A worker.app worker` ends in the same way."""
    check_end("celery", tmp_path, FAULTS[name], store, store_url)


@pytest.mark.parametrize(
    ("module", "kind", "method"),
    [("compose", "Components", "__init__"), ("vitals", "Vitals", "hello"), ("runtime", "Runtime", "start")],
)
def test_a_defect_of_our_own(
    store: redis.Redis, store_url: str, tmp_path: Path, module: str, kind: str, method: str
) -> None:
    """A defect in the start ends the process as a failure that says so; nothing was taken."""
    fault = Fault({}, DEFECT, ("the worker cannot start: LookupError: a defect of our own",))
    with planted(tmp_path / "defect", DEFECT_IN.format(module=module, kind=kind, method=method)):
        check_end("closer", tmp_path, fault, store, store_url)


def test_a_defect_when_it_is_ready(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """A worker that cannot begin its work when Celery consumes ends as a failure, too: it must not stay half alive."""
    defect = DEFECT_IN.format(module="runtime", kind="Runtime", method="open")
    with planted(tmp_path / "defect", defect):
        worker = Process(tmp_path, "worker", redis_url=store_url, api_base_url="http://127.0.0.1:1", **SETTINGS)
    with worker:
        assert worker.process.wait(END_S) == DEFECT, worker.output
    assert "a defect of our own); this process stops, start it again" in worker.output


def test_what_was_started_is_stopped(tmp_path: Path) -> None:
    """A start that fails half-way stops the embedded store again."""
    fault = FAULTS["socks proxy"]
    given = environment(data_dir=tmp_path / "data", api_base_url="https://api.invalid/pro") | fault.variables
    failed = subprocess.run(
        [sys.executable, "-m", "worker", "up"], env=given, cwd=tmp_path, capture_output=True, text=True,
        timeout=END_S, check=False,
    )  # fmt: skip
    assert failed.returncode == WRONG, failed.stderr
    assert "embedded store started" in failed.stderr
    assert "HTTPS_PROXY" in failed.stderr
    store = redis.Redis(unix_socket_path=str(load(data_dir=tmp_path / "data").socket_path))
    with pytest.raises(redis.ConnectionError):
        store.ping()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_while_it_starts(store: redis.Redis, store_url: str, tmp_path: Path, how: signal.Signals) -> None:
    """A worker that is told to stop as soon as it is known stops what it has started, and takes its name off."""
    with Process(tmp_path, "worker", redis_url=store_url, api_base_url="http://127.0.0.1:1") as worker:
        until(lambda: store.hlen(key_of("workers")), "its first sign of life")
        assert worker.stop(how) == 0, worker.output
    assert store.hlen(key_of("workers")) == 0


@pytest.mark.parametrize("blocked", ["data", "data/owner.lock/in the way"])
def test_a_data_directory_that_cannot_be_used(tmp_path: Path, blocked: str) -> None:
    """The embedded store's directory is named, with the variable that sets it."""
    in_the_way = tmp_path / blocked
    in_the_way.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    in_the_way.touch()
    if blocked != "data":
        (tmp_path / "data").chmod(0o700)
    given = environment(data_dir=tmp_path / "data", api_base_url="http://127.0.0.1:1")
    failed = subprocess.run(
        [sys.executable, "-m", "worker", "up"], env=given, cwd=tmp_path, capture_output=True, text=True,
        timeout=END_S, check=False,
    )  # fmt: skip
    assert failed.returncode == WRONG, failed.stderr
    assert "CLOSER_DATA_DIR" in failed.stderr
    assert str(tmp_path / "data") in failed.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    "variables",
    [
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LANG": "C", "LC_ALL": ""},
        {"LC_ALL": "xx_XX.UTF-8"},
        {"PYTHONIOENCODING": "ascii"},
        {"HTTP_PROXY": "", "HTTPS_PROXY": "socks5://proxy:1", "ALL_PROXY": "socks5://proxy:1"},
        {"HTTP_PROXY": "socks5://proxy:1", "NO_PROXY": "127.0.0.1"},
        {"TMPDIR": "/missing"},
        {"PATH": ""},
    ],
    ids=str,
)
def test_what_does_no_harm(store: redis.Redis, store_url: str, tmp_path: Path, variables: dict[str, str]) -> None:
    """In any locale, and with proxies that are not for the API's address, a worker starts and works."""
    send(store_url, "foreign")
    with run_in_thread(Simulator()) as (base_url, _):
        fault = Fault({**variables, "CLOSER_API_BASE_URL": base_url}, 0, ())
        with started("closer", tmp_path, fault, store_url) as worker:
            until(lambda: worker.poll() is not None or store.zcard(key_of("closed")), "a closed group")
            assert worker.poll() is None, worker.communicate()[0]
            worker.terminate()
            assert worker.wait(END_S) == 0


@pytest.mark.long
def test_celery_gives_up(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """When Celery itself ends the worker, that is a failure, too: a supervisor must start it again."""
    with planted(tmp_path / "gives-up", GIVES_UP):
        worker = Process(tmp_path, "worker", redis_url=store_url, api_base_url="http://127.0.0.1:1", **SETTINGS)
    with worker:
        assert worker.process.wait(END_S) == DEFECT, worker.output
    assert "Too many open files" in worker.output


@pytest.mark.long
def test_a_store_that_is_away(tmp_path: Path) -> None:
    """A worker waits for a store that is not there yet, says so, and does what it finds when the store comes."""
    port, folder = free_port(), tmp_path / "store"
    folder.mkdir()
    with valkey(folder, port) as server:
        url = url_of(server)
        send(url, "foreign")
        server.stop(timeout=10)  # the message is on its disk then
    with (
        run_in_thread(Simulator()) as (base_url, _),
        Process(tmp_path, "worker", redis_url=url, api_base_url=base_url, **SETTINGS) as worker,
    ):
        until(lambda: "the store does not answer" in worker.output, "a word about the store")
        assert worker.process.poll() is None
        with valkey(folder, port), redis.Redis.from_url(url) as client:
            until(lambda: client.zcard(key_of("closed")), "a closed group")
            assert worker.stop() == 0, worker.output


@pytest.mark.long
def test_a_store_that_does_not_answer(tmp_path: Path) -> None:
    """A store that is frozen when the worker starts is waited for as well."""
    with own_store(tmp_path / "store") as (url, client), run_in_thread(Simulator()) as (base_url, _):
        send(url, "foreign")
        server = int(client.info("server")["process_id"])
        os.kill(server, signal.SIGSTOP)
        try:
            with Process(tmp_path, "worker", redis_url=url, api_base_url=base_url, **SETTINGS) as worker:
                until(lambda: "waiting for it" in worker.output, "a word about the store")
                until(lambda: "API http" in worker.output, "the end of the start")
                os.kill(server, signal.SIGCONT)
                until(lambda: client.zcard(key_of("closed")), "a closed group")
                assert worker.stop() == 0, worker.output
        finally:
            os.kill(server, signal.SIGCONT)
