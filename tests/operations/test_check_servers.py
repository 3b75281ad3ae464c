"""`closer check` and servers that no worker could use: each is named with what to do, and the exit code is 1."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.faults.inside import planted
from tests.support import free_port, run, until, valkey
from tests.tasks.tunnel import TLS
from tests.worker.tls_front import tls_front
from worker.simulator.server import Simulator, run_in_thread

SECRET = "hunter2"
AUTHORITY = "set SSL_CERT_FILE to a file with the certificate of its authority"
CERTIFICATE = "add ?ssl_certfile=FILE&ssl_keyfile=FILE to {variable}"


@dataclass
class Servers:
    """The ports of real servers: plain ones, with TLS, and with TLS that demands a client's certificate."""

    store: int
    api: int
    api_url: str
    tls: dict[str, int] = field(default_factory=dict)
    strict: dict[str, int] = field(default_factory=dict)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A store and an API."""
    with ExitStack() as running:
        store = running.enter_context(valkey(tmp_path_factory.mktemp("servers"))).port
        api_url, _ = running.enter_context(run_in_thread(Simulator()))
        api = int(api_url.removeprefix("http://127.0.0.1:").partition("/")[0])
        found = Servers(store, api, api_url)
        for name, port in (("store", store), ("api", api)):
            found.tls[name] = running.enter_context(tls_front(port))
            found.strict[name] = running.enter_context(tls_front(port, asks_for_certificate=True))
        yield found


@contextmanager
def user(port: int, *rules: str) -> Iterator[None]:
    """A user `closer` of the store with these rules."""
    admin: Any = redis.Redis(port=port)
    with admin:
        admin.execute_command("ACL", "SETUSER", "closer", "reset", "on", f">{SECRET}", *rules)
        yield
        admin.acl_deluser("closer")


def check(*, code: int, **settings: Any) -> dict[str, dict[str, str]]:
    """What `check` says: the gravest line of each thing that was looked at. Its exit code must be `code`."""
    done = run("check", "--json", **settings)
    assert done.returncode == code, done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    order = ["ok", "warning", "wrong"]
    lines = sorted(json.loads(done.stdout)["checks"], key=lambda line: order.index(line["finding"]))
    return {line["name"]: line for line in lines}


def assert_wrong(line: dict[str, str], message: str, remedy: str) -> None:
    """The line is wrong, in these words, with this remedy."""
    assert line["finding"] == "wrong", line
    assert message in line["message"], line
    assert remedy in line["remedy"], line


def places(name: str, servers: Servers) -> dict[str, str]:
    """The addresses of this case, by how the server is reached."""
    return {
        "PLAIN": f"127.0.0.1:{servers.store if name != 'api' else servers.api}",
        "TLS": f"127.0.0.1:{servers.tls['api' if name == 'api' else 'store']}",
        "STRICT": f"127.0.0.1:{servers.strict['api' if name == 'api' else 'store']}",
        "NOBODY": f"127.0.0.1:{free_port()}",
        "CA": str(TLS),
    }


REDIS = {
    "redis://TLS": ("it speaks TLS on this port", "write rediss:// in {variable}"),
    "rediss://PLAIN": ("it does not speak TLS on this port", "write redis:// in {variable}"),
    "rediss://TLS": ("its certificate is not from an authority that is trusted here", AUTHORITY),
    "rediss://STRICT?ssl_ca_certs=CA": ("it demands a client certificate", CERTIFICATE),
    "redis://NOBODY": ("nobody listens there", "start it, or correct {variable}"),
    "unix:///no/such/socket": ("there is no such socket", "start it, or correct {variable}"),
    "redis://nowhere.invalid": ("its name has no address", "correct {variable}, or this machine's DNS"),
    "redis://API": ("another kind of server answers there", "correct {variable}"),
    f"redis://nobody:{SECRET}@PLAIN": ("it refuses the user or password", "correct user and password in {variable}"),
    "redis://PLAIN/99": ("it has no database of this number", "correct the number after the host in {variable}"),
}


@pytest.mark.long(but=["store-redis://NOBODY", "store-redis://TLS", "broker-redis://NOBODY"])
@pytest.mark.parametrize("form", REDIS)
@pytest.mark.parametrize("name", ["store", "broker"])
def test_a_redis_that_cannot_be_reached(servers: Servers, name: str, form: str) -> None:
    """Why is said in words, for the store and for a broker of its own, with the variable to correct."""
    url = form.replace("API", f"127.0.0.1:{servers.api}")
    for word, place in places(name, servers).items():
        url = url.replace(word, place)
    settings = {"redis_url": f"redis://127.0.0.1:{servers.store}"} | {
        f"{'redis' if name == 'store' else name}_url": url
    }
    found = check(code=1, api_base_url=servers.api_url, **settings)
    message, remedy = REDIS[form]
    variable = "CLOSER_REDIS_URL" if name == "store" else "CLOSER_BROKER_URL"
    assert_wrong(found[name], message, remedy.format(variable=variable))
    assert found["broker"]["finding"] == ("warning" if name == "store" else "wrong"), "the store is the broker, too"
    assert found["api"]["finding"] == "ok", "the rest is looked at"


API = {
    "http://TLS": ("it speaks TLS on this port", "write https:// in CLOSER_API_BASE_URL"),
    "https://PLAIN": ("it does not speak TLS on this port", "correct the port in CLOSER_API_BASE_URL"),
    "https://TLS": ("its certificate is not from an authority that is trusted here", AUTHORITY),
    "https://NOBODY": ("nobody listens there", "correct CLOSER_API_BASE_URL"),
    "https://nowhere.invalid/pro": ("its name has no address", "correct CLOSER_API_BASE_URL, or this machine's DNS"),
}


@pytest.mark.long(but=["https://NOBODY"])
@pytest.mark.parametrize("form", API)
def test_an_api_that_cannot_be_reached(servers: Servers, form: str) -> None:
    """Why is said in words, with the variable to correct."""
    url = form
    for word, place in places("api", servers).items():
        url = url.replace(word, place)
    found = check(code=1, redis_url=f"redis://127.0.0.1:{servers.store}", api_base_url=url)
    assert_wrong(found["api"], *API[form])
    assert found["store"]["finding"] == found["broker"]["finding"] == "ok"


@pytest.mark.long
def test_an_https_port_that_answers_in_plain(servers: Servers) -> None:
    """A page for a plain request, as nginx sends it with status 400, does not pass for the API's answer."""
    with tls_front(servers.api, answers_plain=True) as port:
        found = check(
            code=1, redis_url=f"redis://127.0.0.1:{servers.store}", api_base_url=f"http://127.0.0.1:{port}/pro"
        )
    assert_wrong(found["api"], "it speaks TLS on this port (HTTP 400)", "write https:// in CLOSER_API_BASE_URL")


@pytest.mark.long
def test_an_api_that_demands_a_certificate(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, though such a server only cuts the connection."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS))
    url = f"https://127.0.0.1:{servers.strict['api']}"
    found = check(code=1, redis_url=f"redis://127.0.0.1:{servers.store}", api_base_url=url)
    assert_wrong(found["api"], "it demands a client certificate", "closer has no certificate to show")


@pytest.mark.long(but=["address"])
@pytest.mark.parametrize("by", ["address", "variable"])
def test_tls_all_the_way(servers: Servers, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    """With its authority trusted, in the address or by SSL_CERT_FILE, and a client certificate, all is green."""
    monkeypatch.setenv("SSL_CERT_FILE", str(TLS))
    files = f"ssl_certfile={TLS}&ssl_keyfile={TLS}"
    store = f"rediss://127.0.0.1:{servers.strict['store']}?{files}"
    url = store if by == "variable" else f"{store}&ssl_ca_certs={TLS}"
    found = check(code=0, redis_url=url, api_base_url=f"https://127.0.0.1:{servers.tls['api']}/pro")
    assert {line["finding"] for line in found.values()} == {"ok"}


CLUSTER = {"cluster-enabled": True, "cluster-port": free_port()}  # the port would else be its own plus 10,000
STATES: dict[str, tuple[dict[str, Any], str, str]] = {
    "too few replicas": (
        {"min-replicas-to-write": 1}, "too few of its replicas are connected", "its setting min-replicas-to-write"
    ),
    "full": ({"maxmemory": "1mb"}, "it is out of memory", "raise maxmemory"),
    "a replica": ({"replicaof": "127.0.0.1 1"}, "it is a read-only replica", "point CLOSER_REDIS_URL at the primary"),
    "a cluster": (CLUSTER, "it is a cluster, which closer does not support", "a single primary"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("state", STATES)
def test_a_store_that_takes_nothing(servers: Servers, tmp_path: Path, state: str) -> None:
    """What the store would say to the first write is found out without one."""
    config, message, remedy = STATES[state]
    with valkey(tmp_path, **config) as server:
        url = f"redis://127.0.0.1:{server.port}"
        found = check(code=1, redis_url=url, api_base_url=servers.api_url)
    assert_wrong(found["store"], message, remedy)


DOORS = {
    "requirepass": ("another", "it refuses the user or password", "correct user and password in CLOSER_REDIS_URL"),
    "maxclients": (1, "it has no room for another connection", "raise its maxclients"),
}


@pytest.mark.long
@pytest.mark.parametrize("name", DOORS)
def test_a_store_that_lets_nobody_in(servers: Servers, tmp_path: Path, name: str) -> None:
    """A store that wants a password, or has no room for another client, is told from one that does not answer."""
    value, message, remedy = DOORS[name]
    with valkey(tmp_path) as server, redis.Redis(port=server.port) as admin:
        admin.config_set(name, value)
        url = f"redis://127.0.0.1:{server.port}"
        found = check(code=1, redis_url=url, api_base_url=servers.api_url)
        admin.config_set(name, {"requirepass": "", "maxclients": 100}[name])
    assert_wrong(found["store"], message, remedy)


@pytest.mark.long
def test_a_cluster_of_one(servers: Servers, tmp_path: Path) -> None:
    """A node that has every slot answers everything, and is named all the same."""
    with (
        valkey(tmp_path, **CLUSTER) as server,
        redis.Redis(port=server.port) as admin,
    ):
        cluster: Any = admin
        cluster.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        until(lambda: cluster.execute_command("CLUSTER", "INFO").find(b"cluster_state:ok") >= 0, "its slots")
        url = f"redis://127.0.0.1:{server.port}"
        found = check(code=1, redis_url=url, namespace="north", api_base_url=servers.api_url)
    assert_wrong(found["store"], "it is a node of a cluster", "name a single primary in CLOSER_REDIS_URL")


@pytest.mark.long
def test_a_certificate_for_another_name(servers: Servers) -> None:
    """A server that is called by a name which its certificate does not have is told from one of a strange authority."""
    with tls_front(servers.store, host="127.0.0.2") as port:
        url = f"rediss://127.0.0.2:{port}?ssl_ca_certs={TLS}"
        found = check(code=1, redis_url=url, api_base_url=servers.api_url)
    assert_wrong(
        found["store"], "its certificate is for another name", "name it in CLOSER_REDIS_URL as its certificate"
    )


RIGHTS = {
    "no channels": (["~*", "+@all", "resetchannels"], "ACL SETUSER closer '&{closer}:/*'; then ACL SAVE"),
    "no xdel": (["~*", "&*", "+@all", "-xdel"], "ACL SETUSER closer +xdel; then ACL SAVE"),
    "no type": (["~*", "&*", "+@all", "-type"], "ACL SETUSER closer +type; then ACL SAVE"),
    "no keys": (["&*", "+@all", "~{closer}:*"], "ACL SETUSER closer '~celery*' '~unacked*'; then ACL SAVE"),
}


@pytest.mark.long
@pytest.mark.parametrize("case", RIGHTS)
@pytest.mark.parametrize("name", ["store", "broker"])
def test_a_right_that_is_missing(servers: Servers, name: str, case: str) -> None:
    """The right to add is named, as a command, for a store and for a broker of its own."""
    rules, remedy = RIGHTS[case]
    plain, limited = (f"redis://{login}127.0.0.1:{servers.store}" for login in ("", f"closer:{SECRET}@"))
    settings = {"redis_url": limited} if name == "store" else {"redis_url": plain, "broker_url": limited}
    needed = case not in ("no xdel", "no type") or name == "store"  # a broker needs neither
    with user(servers.store, *rules):
        found = check(code=int(needed), api_base_url=servers.api_url, **settings)
    wrong = [line for line in found.values() if line["finding"] == "wrong"]
    if not needed:
        assert wrong == []
    elif case == "no keys" and name == "store":
        assert_wrong(found["store"], "lacks rights", "ACL SETUSER closer '~shipment-groups.complete' '~closer:*'; then")
    else:
        assert_wrong(found["broker" if case == "no channels" else name], "its user 'closer' lacks rights", remedy)


def test_info_is_not_needed(servers: Servers) -> None:
    """Without INFO a worker works, so this is a warning that names the right."""
    with user(servers.store, "~*", "&*", "+@all", "-info"):
        url = f"redis://closer:{SECRET}@127.0.0.1:{servers.store}"
        found = check(code=0, redis_url=url, api_base_url=servers.api_url)
    assert found["store"]["finding"] == "warning"
    assert "ACL SETUSER closer +info; " in found["store"]["remedy"]


NO_NAME_SERVER = """
import socket, threading
real = socket.getaddrinfo
def getaddrinfo(host, *more, **options):
    if str(host).endswith(".corp"):
        threading.Event().wait()
    return real(host, *more, **options)
socket.getaddrinfo = getaddrinfo
"""


@pytest.mark.long
def test_no_name_server(tmp_path: Path) -> None:
    """A name server that does not answer is named for each server, and neither `check` nor its end waits for it."""
    with planted(tmp_path / "dns", NO_NAME_SERVER):
        found = check(
            code=1, redis_url=f"redis://:{SECRET}@store.corp/0", broker_url=f"amqp://u:{SECRET}@rabbit.corp//",
            api_base_url="https://api.corp/pro",
        )  # fmt: skip
    for name, host in {"store": "store", "broker": "rabbit", "api": "api"}.items():
        words = f"no name server told the address of {host}.corp within 3 s"
        assert_wrong(found[name], words, "see that this machine's DNS works (/etc/resolv.conf)")
