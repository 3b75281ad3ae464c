"""Every route of the console: who may, what it answers, and that looking changes nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import redis
from starlette.routing import BaseRoute, Route

from tasks.ledger.ledger import Ledger
from tests.operations.seed import SEEDS
from tests.operations.seed import sow as plant
from tests.support import cloud_event, key_of
from tests.web.conftest import Console, give, kind, signed
from worker.operations.operator import Role
from worker.settings import load
from worker.web.app import routes

PAGE = (Path(__file__).parents[2] / "docs" / "http-api.md").read_text()
EVERYBODY = "everybody"
ANY, LOOKS, ACTS, SENDS = set(Role), {Role.VIEWER, Role.OPERATOR, Role.ADMIN}, {Role.OPERATOR, Role.ADMIN}, set[Role]()
SENDS = {Role.EMITTER, Role.ADMIN}
JSON = {"content-type": "application/json"}

# Each route and method: who may, a request that is right, and what is answered to those who may.
TABLE: dict[tuple[str, str], tuple[set[Role] | str, str, bytes, int]] = {
    ("GET", "/livez"): (EVERYBODY, "/livez", b"", 200),
    ("GET", "/readyz"): (EVERYBODY, "/readyz", b"", 200),
    ("GET", "/problems/{name}"): (EVERYBODY, "/problems/not-json", b"", 200),
    ("GET", "/v1/openapi.json"): (EVERYBODY, "/v1/openapi.json", b"", 200),
    ("GET", "/v1/whoami"): (ANY, "/v1/whoami", b"", 200),
    ("POST", "/v1/events"): (SENDS, "/v1/events", cloud_event("sg_9").encode(), 202),
    ("GET", "/v1/refusals"): (LOOKS, "/v1/refusals", b"", 200),
    ("GET", "/v1/status"): (LOOKS, "/v1/status", b"", 200),
    ("GET", "/v1/closures"): (LOOKS, "/v1/closures", b"", 200),
    ("GET", "/v1/closure-groups"): (LOOKS, "/v1/closure-groups?by=reason", b"", 200),
    ("GET", "/v1/closures/{reference}"): (ANY, "/v1/closures/sg_1", b"", 200),
    ("GET", "/v1/rejected"): (LOOKS, "/v1/rejected", b"", 200),
    ("GET", "/v1/audit"): (LOOKS, "/v1/audit", b"", 200),
    ("POST", "/v1/gate/pause"): (ACTS, "/v1/gate/pause", b'{"why": "x"}', 200),
    ("POST", "/v1/gate/resume"): (ACTS, "/v1/gate/resume", b'{"why": "x"}', 200),
    ("GET", "/metrics"): (LOOKS, "/metrics", b"", 200),
}


def served() -> set[tuple[str, str]]:
    """Every method of every route of the app; HEAD stands for GET."""
    app = routes(load(), Ledger(None))  # type: ignore[arg-type]  # it asks the store for nothing
    found: list[BaseRoute] = [*app.routes]
    return {
        (method, route.path) for route in flat(found) for method in route.methods or () if method != "HEAD"
    }  # fmt: skip


def flat(found: list[BaseRoute]) -> list[Route]:
    """The routes, those of routers among them."""
    made: list[Route] = []
    for one in found:
        if isinstance(one, Route):
            made.append(one)
        else:
            inner: Any = getattr(one, "original_router", one)
            made += flat(list(inner.routes))
    return made


def test_every_route_is_in_the_table() -> None:
    """A new one needs its row, here and in docs/http-api.md."""
    assert served() == set(TABLE)
    rows = re.findall(r"^\| `(GET|POST) ([^`]+)`(?:, `([^`]+)`)? \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE)
    told = {(method, path): who for method, *paths, who in rows for path in paths if path}
    for (method, path), (who, *_) in TABLE.items():
        words = told.pop((method, path.replace("{name}", "NAME").replace("{reference}", "REF")))
        assert words == (who if isinstance(who, str) else "every token" if who == ANY else roles(who)), path
    assert told == {}


def roles(who: set[Role]) -> str:
    """Roles as the page has them."""
    return ", ".join(f"`{role}`" for role in Role if role in who)


def content(store: redis.Redis) -> dict[bytes, Any]:
    """Everything in the store but the notes of when somebody looked."""
    left_out = {key_of(name).encode() for name in ("tokens_used", "gate")}
    keys: Any = store.keys()
    return {key: store.dump(key) for key in keys if key not in left_out}


@pytest.mark.parametrize(("method", "path"), TABLE, ids=str)
@pytest.mark.parametrize("role", [*Role, None])
def test_who_may(console: Console, store: redis.Redis, method: str, path: str, role: Role | None) -> None:
    """Each role gets what the table says and nothing else; a GET changes nothing, and neither does what is refused."""
    plant(console.store_url, SEEDS)
    token = give(store, "one", role.value) if role else ""
    give(store, "another")
    before = content(store)
    who, url, body, status = TABLE[method, path]
    answer = console.client.request(method, url, content=body, headers=signed(token) | JSON)
    if who == EVERYBODY or role in who:
        assert answer.status_code == status, answer.text
        assert method == "POST" or content(store) == before
    else:
        expected = (403, "not-permitted") if role else (401, "not-signed-in")
        assert (answer.status_code, kind(answer)) == expected
        assert content(store) == before


@pytest.mark.parametrize(("method", "path"), TABLE, ids=str)
@pytest.mark.parametrize("other", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_no_other_method(console: Console, method: str, path: str, other: str) -> None:
    """It is refused before anybody is asked for a token."""
    answer = console.client.request(other, TABLE[method, path][1])
    assert (answer.status_code, kind(answer)) == (405, "wrong-method")
