"""The rights of closer's user, on Valkey and Redis 7: each that is missing is named, and together they are enough."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.ledger.scripts import names, source
from tasks.namespace import Namespace
from tests.end_to_end.fleet import SETTINGS
from tests.support import STREAM, Process, cloud_event, run, until, valkey
from tests.worker.redis_server import redis_server
from worker.settings.redis_address import RedisAddress
from worker.simulator.server import Simulator, run_in_thread
from worker.store.needs import Need, broker_needs, ledger_needs
from worker.store.rights import Refusals, pool_of, try_out

USER, PASSWORD = "closer", "secret"
FLEETS = {"closer": STREAM, "north": "{north}:shipment-groups.complete"}
NEEDS = [*ledger_needs(Namespace(), STREAM), *broker_needs(Namespace(), 0)]
RIGHTS = list(dict.fromkeys(need.right for need in NEEDS))
CONNECTING = ("+hello", "+auth", "+client", "+select", "+multi", "+exec", "+discard")


@pytest.fixture(scope="module", params=["valkey", "redis"])
def port(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real server."""
    folder = tmp_path_factory.mktemp("rights")
    if request.param == "redis":
        with redis_server(folder) as there:
            yield there
    else:
        with valkey(folder) as server:
            yield server.port


@pytest.fixture
def admin(port: int) -> Iterator[redis.Redis]:
    """A client of it that may do everything. It is empty."""
    with redis.Redis(port=port) as client:
        client.flushall()
        client.acl_log_reset()
        yield client


def let(admin: Any, *rules: str) -> None:
    """Make closer's user anew, with these rules."""
    admin.execute_command("ACL", "SETUSER", USER, "reset", "on", f">{PASSWORD}", *rules)


def refusals(port: int, needs: list[Need] = NEEDS) -> Refusals:
    """What the user is refused."""
    return try_out(pool_of(RedisAddress("127.0.0.1", port, username=USER, password=PASSWORD)), needs)


def url(port: int) -> str:
    """The address that the user logs in at."""
    return f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}/0"


def all_but(right: str) -> list[str]:
    """Every right that there is, without this one."""
    patterns = [one for one in RIGHTS if one[0] in "~&" and one != right]
    return ["+@all", *patterns, *([f"-{right[1:]}"] if right.startswith("+") else [])]


def test_every_command_of_the_scripts_is_tried() -> None:
    """Each command that a script of the ledger sends is among those that `check` tries."""
    sent = {name for script in names() for name in re.findall(r"redis\.p?call\('(\w+)'", source(script))}
    assert {name.lower() for name in sent} <= {
        need.right[1:].partition("|")[0] for need in ledger_needs(Namespace(), "s")
    }


@pytest.mark.parametrize("right", RIGHTS)
def test_a_missing_right_is_named(admin: redis.Redis, port: int, right: str) -> None:
    """A user that lacks one right is told exactly this one, as ACL SETUSER takes it."""
    let(admin, *all_but(right))
    assert refusals(port) == Refusals(rights=(right,))
    let(admin, *all_but(right), right)
    assert refusals(port) == Refusals()


@pytest.mark.parametrize(("rules", "missing"), [
    (["~*", "+@all", "resetchannels"], ("&{closer}:/*",)),
    (["~*", "&*", "+@all", "-multi"], ("+multi",)),
    (["~*", "&*", "+@all", "-exec"], ("+exec",)),
    (["+ping"], ("+multi", "+exec")),
    (["+@all"], ("~{closer}:*", f"~{STREAM}", "~closer:*", "~celery*", "~unacked*", "&{closer}:/*")),
])  # fmt: skip
def test_several_missing_rights(admin: redis.Redis, port: int, rules: list[str], missing: tuple[str, ...]) -> None:
    """All are named together; without a transaction nothing else is tried."""
    let(admin, *rules)
    assert refusals(port).rights == missing


def content(admin: redis.Redis) -> dict[bytes, object]:
    """Every key with its value."""
    return {key: admin.dump(key) for key in admin.scan_iter()}


def test_trying_changes_nothing(admin: redis.Redis, port: int) -> None:
    """Nothing is executed: the store holds the same before and after, also where the user may do anything."""
    admin.xadd(STREAM, {"event": "x"})
    admin.lpush("celery", "x")
    admin.zadd("{closer}:agenda", {"sg_1": 1})
    before = content(admin)
    for rules in (["~*", "&*", "+@all"], ["~*", "&*", "+@all", "-multi"]):
        let(admin, *rules)
        refusals(port)
    assert content(admin) == before


def docs_rule(fleet: str) -> list[str]:
    """The words of the rule in docs/store.md after the password, for this fleet."""
    docs = Path(__file__).parents[2] / "docs" / "store.md"
    [rule] = [line.split() for line in docs.read_text().splitlines() if "ACL SETUSER closer on" in line]
    words = [word.replace("closer", fleet) for word in rule[5:]]
    return words if fleet == "closer" else [*words, f"~{FLEETS[fleet]}"]


@pytest.mark.long(but=["valkey-docs-closer", "redis-docs-closer"])
@pytest.mark.parametrize("fleet", FLEETS)
@pytest.mark.parametrize("rule", ["docs", "just those"])
def test_these_rights_are_enough(admin: redis.Redis, port: int, tmp_path: Path, fleet: str, rule: str) -> None:
    """With the documents' rule, and with just what `check` tries, it is green, and a worker is refused nothing."""
    namespace, stream = Namespace(fleet), FLEETS[fleet]
    needs = [*ledger_needs(namespace, stream), *broker_needs(namespace, 0)]
    let(admin, *(docs_rule(fleet) if rule == "docs" else [*CONNECTING, "+info", *(need.right for need in needs)]))
    with run_in_thread(Simulator()) as (api, _):
        settings: dict[str, Any] = {"redis_url": url(port), "api_base_url": api, "namespace": fleet}
        checked = run("check", **settings)
        assert checked.returncode == 0, checked.stdout
        with Process(tmp_path, "worker", **settings, **SETTINGS) as worker:
            for number in range(20):
                admin.xadd(stream, {"event": cloud_event(f"sg_{number}")})
            admin.xadd(stream, {"event": "junk"})
            until(lambda: admin.zcard(f"{namespace.prefix}closed") == 20, "the groups closed")
            until(lambda: admin.pubsub_numsub(f"{namespace.prefix}/0.celery.pidbox")[0][1], "remote control listens")
            assert worker.stop() == 0, worker.output
    assert admin.acl_log() == []
    assert "Connection to broker lost" not in worker.output


def test_one_fleet_only(admin: redis.Redis, port: int) -> None:
    """The rule of the documents forbids another fleet's keys."""
    let(admin, *docs_rule("closer"))
    with redis.Redis.from_url(url(port)) as user, pytest.raises(redis.exceptions.NoPermissionError):
        user.get("{north}:policy")
