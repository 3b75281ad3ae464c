"""Tests of the broker: Celery's settings for each kind, and RabbitMQ in earnest where it is installed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery
from kombu import Connection, Queue

from tasks.api.address import UNREADABLE, public_address
from tasks.errors import ConfigurationError
from tasks.namespace import DEFAULT_NAMESPACE, Namespace
from tasks.task_message import TASK_NAME
from tests.end_to_end.fleet import SETTINGS, wait_for_all
from tests.support import API_KEY, Process, count, key_of, publish, run, until
from tests.tasks.tunnel import TLS
from tests.worker.rabbit import Rabbit, program, rabbit
from worker.broker.celery_settings import BATCH_DEADLINE_S, celery_settings
from worker.broker.rabbitmq import DELIVERY_LIMIT, dead_letters, declare, task_queue
from worker.settings import load
from worker.simulator.faults import Faults
from worker.simulator.server import Simulator, run_in_thread

REDIS = ["redis://h:1/0", "rediss://h:1/0", "redis+socket:///s.sock", "redis+socket:///s.sock?virtual_host=3"]
AMQP = ["amqp://u:p@h//", "amqps://u:p@h/v"]


def given(url: str) -> dict[str, Any]:
    """Celery's settings with this broker."""
    return celery_settings(load(broker_url=url))


@pytest.mark.parametrize("url", REDIS)
def test_a_batch_never_outlives_its_message_on_redis(url: str) -> None:
    """The visibility time-out is well above a batch's deadline, every wait ends, and no queue is RabbitMQ's."""
    settings = given(url)
    options = settings["broker_transport_options"]
    assert settings["broker_url"] == url
    assert options["visibility_timeout"] >= 2 * BATCH_DEADLINE_S
    assert options.keys() >= {"socket_timeout", "socket_connect_timeout", "health_check_interval"}
    assert not settings.keys() & {"task_queues", "broker_heartbeat"}


def test_tls_asks_for_a_certificate() -> None:
    """With rediss:// and amqps:// the broker's certificate and its name are checked; other addresses have no TLS."""
    assert given("rediss://h/0")["broker_use_ssl"] == {
        "ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": None, "ssl_certfile": None,
        "ssl_keyfile": None,
    }  # fmt: skip
    assert given("amqps://h//")["broker_use_ssl"] == {"server_hostname": None}
    assert given("amqp://h//")["broker_use_ssl"] is False
    assert "broker_use_ssl" not in given("redis://h/0")


def test_a_socket_of_the_store_is_its_broker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a store and a broker of your own, messages go over the embedded store's socket."""
    monkeypatch.delenv("CLOSER_BROKER_URL", raising=False)
    settings = load(redis_url=None, data_dir=tmp_path)
    assert celery_settings(settings)["broker_url"] == f"redis+socket://{settings.socket_path}"


def test_amqps_takes_the_same_parameters_as_rediss() -> None:
    """Files given in the address go to the TLS layer, under the names it knows, and other parameters stay."""
    settings = given(f"amqps://u:p@h:5671/v?ssl_ca_certs={TLS}&heartbeat=9&ssl_certfile={TLS}&ssl_keyfile={TLS}")
    assert settings["broker_url"] == "amqps://u:p@h:5671/v?heartbeat=9"
    assert settings["broker_use_ssl"] == {
        "server_hostname": None, "ca_certs": str(TLS), "certfile": str(TLS), "keyfile": str(TLS),
    }  # fmt: skip


@pytest.mark.parametrize("url", ["amqps://h//?ssl_cert_reqs=none", "amqps://a//;amqps://b//"])
def test_amqps_cannot_be_weakened(url: str) -> None:
    """Parameters that would switch checks off, and lists whose hosts cannot each be checked, are refused."""
    with pytest.raises(ConfigurationError, match=r"CLOSER_BROKER_URL: .*amqps"):
        load(broker_url=url)


def test_no_password_of_a_list_is_shown() -> None:
    """Of several addresses each is shown without user and password."""
    assert public_address("amqp://u:one@a:1;amqp://u:one@b:2") == "amqp://a:1;amqp://b:2"
    assert public_address("amqp://u:one@a:1;amqp://u:two@b:2") == UNREADABLE


@pytest.mark.parametrize("url", AMQP)
def test_nothing_is_dropped_silently_on_rabbitmq(url: str) -> None:
    """Publishing is confirmed; the quorum queue has Celery's name, a limit of its own, and gives up nothing unseen."""
    settings = given(url)
    assert settings["broker_transport_options"]["confirm_publish"] is True
    assert settings["worker_detect_quorum_queues"] is True
    [queue] = settings["task_queues"]
    arguments, dead_arguments = queue.queue_arguments, dead_letters(DEFAULT_NAMESPACE).queue_arguments or {}
    assert (queue.name, queue.routing_key, settings["task_default_queue"]) == ("celery", "celery", "celery")
    assert arguments["x-queue-type"] == dead_arguments["x-queue-type"] == "quorum"
    assert arguments["x-delivery-limit"] == DELIVERY_LIMIT
    assert (arguments["x-dead-letter-exchange"], arguments["x-dead-letter-routing-key"]) == (
        "",
        DEFAULT_NAMESPACE.dead_letters,
    )
    assert arguments["x-dead-letter-strategy"] == "at-least-once"


def test_a_day_without_a_store_does_not_exhaust_the_deliveries() -> None:
    """A message that waits for the store is delivered anew once a deadline, and that may go on for a day at least."""
    assert DELIVERY_LIMIT * BATCH_DEADLINE_S >= 86_400


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rabbit]:
    """A real RabbitMQ."""
    if program() is None:
        pytest.skip("rabbitmq-server is not installed here")
    with rabbit(tmp_path_factory.mktemp("rabbit")) as running:
        yield running


@pytest.fixture
def broker(node: Rabbit) -> Rabbit:
    """The RabbitMQ, without the queues of the test before."""
    with Connection(node.url) as connection:
        for queue in (task_queue(DEFAULT_NAMESPACE), dead_letters(DEFAULT_NAMESPACE)):
            queue.bind(connection.channel()).delete()
    return node


def test_rabbitmq_carries_the_tasks(broker: Rabbit, store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """Events and a foreign program's task are closed once; a message nobody knows is kept, and `check` tells of it."""
    groups = [f"sg_{number:03d}" for number in range(200)]
    with run_in_thread(Simulator()) as (api, simulator):
        settings: dict[str, Any] = {**SETTINGS, "redis_url": store_url, "broker_url": broker.url, "api_base_url": api}
        with Process(tmp_path, "worker", **settings) as worker:
            publish(store, groups)
            wait_for_all(store, len(groups), worker)
            with Celery("stranger", broker=broker.url, set_as_current=False) as stranger:
                stranger.conf.task_queues = [Queue("celery", no_declare=True)]
                stranger.send_task(TASK_NAME, [["foreign"]])
                stranger.send_task("no.such.task", ["kept"])
            wait_for_all(store, len(groups) + 1, worker)
            until(lambda: store.xlen(key_of("rejected")) == 1, "the message kept")
            with Connection(broker.url) as connection:
                connection.Producer().publish("gave up", routing_key=DEFAULT_NAMESPACE.dead_letters)
            until(lambda: dead(broker) == 1, "a dead letter")
            checked = run("check", **settings)
            assert worker.stop() == 0, worker.output
        records = simulator.records()
    assert {records[reference].close_calls for reference in [*groups, "foreign"]} == {1}
    assert f"1 messages in {DEFAULT_NAMESPACE.dead_letters} were given up" in " ".join(checked.stdout.split())


@pytest.mark.long
def test_a_refused_key_leaves_the_queue_to_others_on_rabbitmq(
    broker: Rabbit, store: redis.Redis, store_url: str, tmp_path: Path
) -> None:
    """A worker whose key is refused consumes nothing more; when it is accepted again it consumes as before."""
    groups = [f"sg_{number:03d}" for number in range(100)]
    with run_in_thread(Simulator(api_key="another-key")) as (api, simulator), ExitStack() as ends:
        settings: dict[str, Any] = {**SETTINGS, "redis_url": store_url, "broker_url": broker.url, "api_base_url": api}
        worker = ends.enter_context(Process(tmp_path, "worker", **settings))
        publish(store, ["sg_first"])
        until(lambda: store.hexists(key_of("gate"), "unauthorised"), "a refusal")
        until(lambda: consumers(broker) == 0, "no consumer")
        other = ends.enter_context(Process(tmp_path, "worker", **settings, api_key="another-key"))
        publish(store, groups)
        wait_for_all(store, len(groups) + 1, other)
        assert consumers(broker) == 1
        simulator.configure(api_key=API_KEY)
        assert other.stop() == 0, other.output
        publish(store, ["sg_last"])
        assert run("resume", "--why", "the key is right again", redis_url=store_url).returncode == 0
        wait_for_all(store, len(groups) + 2, worker)
        until(lambda: consumers(broker) == 1, "a consumer again")
        assert worker.stop() == 0, worker.output


def consumers(broker: Rabbit) -> int:
    """How many consume the queue of tasks."""
    with Connection(broker.url) as connection:
        declared: Any = task_queue(DEFAULT_NAMESPACE).bind(connection.channel()).queue_declare(passive=True)
    return int(declared.consumer_count)


@pytest.mark.long
def test_a_rabbitmq_that_restarts_costs_nothing(
    broker: Rabbit, store: redis.Redis, store_url: str, tmp_path: Path
) -> None:
    """Stopped in mid-run and started again, it costs no group; a worker that Celery left deaf ends, for a new one."""
    groups = [f"sg_{number:03d}" for number in range(300)]
    with run_in_thread(Simulator(faults=Faults(latency_s=0.2))) as (api, simulator), ExitStack() as ends:
        settings: dict[str, Any] = {**SETTINGS, "redis_url": store_url, "broker_url": broker.url, "api_base_url": api}

        def start() -> Process:
            return ends.enter_context(Process(tmp_path, "worker", concurrency=10, **settings))

        worker = start()
        publish(store, groups)
        until(lambda: count(store, "closed") >= 20, "the middle of the work")
        broker.stop()
        assert count(store, "closed") < len(groups)
        first = worker
        until(lambda: "dispatch waits" in first.output, "a word about the broker")
        broker.start()
        ended = until(
            lambda: count(store, "closed") == len(groups) or first.process.poll(), "all closed, or its end", 100
        )
        if ended is not True:  # what a supervisor does
            assert "takes none" in first.output, first.output
            worker = start()
            until(lambda: count(store, "closed") == len(groups), "all closed by the next worker")
        assert worker.stop() == 0, worker.output
        effective = {reference: record.effective_closes for reference, record in simulator.records().items()}
    assert effective == dict.fromkeys(groups, 1)
    assert dead(broker) == 0


@pytest.mark.long
def test_two_fleets_share_a_rabbitmq(broker: Rabbit, store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """No fleet takes the other's task messages, also while the other is away; each closes its own groups, once."""
    default, north = fleets = (Namespace(), Namespace("north"))
    groups = {fleet: [f"sg_{fleet.name}_{number}" for number in range(100)] for fleet in fleets}
    with ExitStack() as ends, Connection(broker.url) as connection:
        apis = {fleet: ends.enter_context(run_in_thread(Simulator())) for fleet in fleets}

        def start(fleet: Namespace) -> Process:
            told: dict[str, Any] = {
                **SETTINGS,
                "redis_url": store_url,
                "broker_url": broker.url,
                "namespace": fleet.name,
            }
            return ends.enter_context(Process(tmp_path, "worker", **told, api_base_url=apis[fleet][0]))

        for fleet in fleets:
            declare(connection.channel(), fleet)
            send_task(connection, fleet, f"sg_{fleet.name}")
        workers = [start(default)]
        until(lambda: closed(store, default) == 1, "the first fleet's message taken")
        assert ready(connection, north) == 1
        workers.append(start(north))
        until(lambda: closed(store, north) == 1, "the other fleet's message taken")
        for fleet in fleets:
            publish(store, groups[fleet], stream=fleet.stream)
        until(lambda: [closed(store, fleet) for fleet in fleets] == [101, 101], "all closed")
        assert [worker.stop() for worker in workers] == [0, 0]
        for fleet in fleets:
            calls = {reference: group.close_calls for reference, group in apis[fleet][1].records().items()}
            assert calls == dict.fromkeys([f"sg_{fleet.name}", *groups[fleet]], 1)


def send_task(connection: Connection, fleet: Namespace, reference: str) -> None:
    """Send a task message as a foreign program does."""
    headers = {"task": TASK_NAME, "id": reference, "lang": "py"}
    body: list[Any] = [[[reference]], {}, {}]
    connection.Producer(serializer="json").publish(body, routing_key=fleet.queue, headers=headers)


def ready(connection: Connection, fleet: Namespace) -> int:
    """How many task messages wait for this fleet, and nobody has them in hand."""
    answer: Any = task_queue(fleet).bind(connection.channel()).queue_declare(passive=True)
    return int(answer.message_count)


def closed(store: redis.Redis, fleet: Namespace) -> int:
    """How many groups this fleet has closed."""
    return int(store.zcard(f"{fleet.prefix}closed"))


def test_a_queue_of_somebody_elses_is_named(broker: Rabbit, store_url: str) -> None:
    """A queue that another program has declared in its own way is told by `check`, and is left alone."""
    with Connection(broker.url) as connection:
        Queue("celery", routing_key="celery").bind(connection.channel()).queue_declare()
        checked = run("check", redis_url=store_url, broker_url=broker.url, api_base_url="http://127.0.0.1:1")
        Queue("celery", routing_key="celery").bind(connection.channel()).queue_declare()
    assert checked.returncode == 1
    assert "another program has declared a queue of ours" in " ".join(checked.stdout.split())


def dead(broker: Rabbit) -> int:
    """How many dead letters there are; their queue must be there."""
    with Connection(broker.url) as connection:
        answer: Any = dead_letters(DEFAULT_NAMESPACE).bind(connection.channel()).queue_declare(passive=True)
        return int(answer.message_count)
