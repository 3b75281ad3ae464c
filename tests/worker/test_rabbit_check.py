"""`closer check` and a RabbitMQ that no worker could use: why is said in words, with what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support import run
from tests.tasks.tunnel import TLS
from tests.worker.rabbit import program, rabbit
from tests.worker.tls_front import tls_front
from worker.settings import load
from worker.simulator.server import Simulator, run_in_thread

AUTHORITY = "set SSL_CERT_FILE to a file with the certificate of its authority, or add ?ssl_ca_certs=FILE"
# How RabbitMQ is reached, and what is said of it. GUEST stands for the right user and password.
CASES = {
    "amqp://GUEST@PLAIN//": ("answers", None),
    "amqps://GUEST@TLS//?ssl_ca_certs=CA": ("answers", None),
    "amqps://GUEST@STRICT//?ssl_ca_certs=CA&ssl_certfile=CA": ("answers", None),
    "amqp://guest:wrong-one@PLAIN//": ("it refuses the user or password", "correct user and password in CLOSER_BROKER"),
    "amqp://GUEST@PLAIN/nowhere": ("this virtual host", "correct the virtual host in CLOSER_BROKER_URL"),
    "amqps://GUEST@PLAIN//": ("it does not speak TLS on this port", "write amqp:// in CLOSER_BROKER_URL"),
    "amqp://GUEST@TLS//": ("it speaks TLS on this port", "write amqps:// in CLOSER_BROKER_URL"),
    "amqps://GUEST@TLS//": ("its certificate is not from an authority that is trusted here", AUTHORITY),
    "amqps://GUEST@STRICT//?ssl_ca_certs=CA": ("it demands a client certificate", "add ?ssl_certfile=FILE&"),
    "amqp://GUEST@STORE//": ("a Redis answers there", "correct CLOSER_BROKER_URL"),
    "redis://PLAIN": ("another kind of server answers there", "correct CLOSER_BROKER_URL"),
}  # fmt: skip


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Where a real RabbitMQ listens: plain, with TLS, and with TLS that demands a client's certificate."""
    if program() is None:
        pytest.skip("rabbitmq-server is not installed here")
    with rabbit(tmp_path_factory.mktemp("rabbit")) as node:
        port = urlsplit(node.url).port or 0
        with tls_front(port) as tls, tls_front(port, asks_for_certificate=True) as strict:
            found = {"PLAIN": port, "TLS": tls, "STRICT": strict}
            yield {name: f"127.0.0.1:{there}" for name, there in found.items()} | {
                "CA": str(TLS),
                "GUEST": "guest:guest",
            }


@pytest.mark.long
@pytest.mark.parametrize("case", CASES)
def test_a_rabbitmq(places: dict[str, str], store_url: str, case: str) -> None:
    """What keeps a worker from it is named; `check` ends with 1 for it, and with 0 where a worker could use it."""
    url = case.replace("STORE", f"127.0.0.1:{load(redis_url=store_url).store.port}")
    for word, place in places.items():
        url = url.replace(word, place)
    message, remedy = CASES[case]
    with run_in_thread(Simulator()) as (api, _):
        done = run("check", "--json", redis_url=store_url, broker_url=url, api_base_url=api)
    [line] = [line for line in json.loads(done.stdout)["checks"] if line["name"] == "broker"]
    assert message in line["message"]
    assert (remedy or "") in (line["remedy"] or "")
    assert (line["finding"], done.returncode) == (("wrong", 1) if remedy else ("ok", 0))
    assert "wrong-one" not in done.stdout
