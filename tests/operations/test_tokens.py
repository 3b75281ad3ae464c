"""Tokens for people and programs: made and revoked by commands, found by their secrets, each use noted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
import redis
from redis.asyncio import Redis

from tasks.ledger.tokens import digest_of
from tests.operations.conftest import Cli
from tests.support import key_of
from tests.tasks.book import Book
from worker.operations import tokens
from worker.operations.context import OperatorContext
from worker.operations.identify import Identified, Identify
from worker.operations.operator import Operator, Role, Scope
from worker.operations.refusal import Refused, Rule
from worker.operations.together import Together
from worker.operations.tokens import Wanted
from worker.settings import load


def made(cli: Cli, name: str = "leeds", role: str = "emitter", *more: str) -> str:
    """The secret of a new token."""
    secret: str = cli.json("token", "create", "--name", name, "--role", role, *more)["secret"]
    return secret


def test_a_token_is_made_shown_and_revoked(cli: Cli) -> None:
    """The secret is printed once, alone on stdout; the list has everything else, and the audit has who did it."""
    given = ("--source", "wms", "--prefix", "LDS-", "--expires", "90d", "--why", "new site")
    done = cli("token", "create", "--name", "leeds", "--role", "emitter", *given)
    [secret] = done.stdout.splitlines()
    assert secret.startswith("closer_")
    assert "shown only now" in done.stderr
    [listed] = cli.lines("token", "list")
    assert (listed["name"], listed["role"], listed["by"], listed["expired"]) == ("leeds", "emitter", "olga", False)
    assert (listed["sources"], listed["prefixes"], listed["last_used_at"]) == (["wms"], ["LDS-"], None)
    shown = cli.text("token", "list")
    for words in ("leeds", "emitter", "source wms, prefix LDS-", "never"):
        assert words in shown
    assert "revoked" in cli.text("token", "revoke", "leeds", "--why", "done")
    assert cli.lines("token", "list") == []
    assert "There is no token" in cli.said("token", "list")[1]
    assert [(one["action"], one["filter"], one["by"]) for one in cli.lines("audit")] == [
        ("create token", "leeds", "olga"), ("revoke token", "leeds", "olga")
    ]  # fmt: skip
    assert cli.json("token", "revoke", made(cli) and "leeds") == {"revoked": "leeds"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("create --name leeds --role viewer", 1, "there is a token called 'leeds': revoke it first"),
        ("create --name x --role viewer --source wms", 2, "only an emitter is bound"),
        ("create --name x --role king", 2, "'king' is not one of"),
        ("create --name x --role viewer --expires soon", 2, "'soon' is not a duration: write 30m, 12h, 90d"),
        ("create --name x --role viewer --expires 0d", 2, "is not a duration"),
        ("create --name x --role viewer --expires 10001d", 2, "is not a duration"),
        ("revoke nobody", 1, "there is no token called 'nobody'; see `closer token list`"),
    ],
)
def test_what_is_refused(cli: Cli, words: str, code: int, said: str) -> None:
    """The message says what is wrong, and nothing was made."""
    made(cli)
    assert said in cli("token", *words.split(), code=code).stderr
    assert [one["role"] for one in cli.lines("token", "list")] == ["emitter"]


@pytest.mark.parametrize("name", ["", " x", "x ", "a\nb", "x" * 101])
async def test_what_is_not_a_name(real: Redis, name: str) -> None:
    """The audit must show it as it is."""
    context = OperatorContext.of(Operator("anna", Role.ADMIN, "test"), load(), real)
    with pytest.raises(Refused, match="is not a name") as refused:
        await tokens.create(context, Wanted(name, Role.VIEWER))
    assert refused.value.rule is Rule.NOT_A_NAME


@pytest.mark.parametrize("scope", [Scope(("x",) * 101), Scope((), ("",)), Scope(("a\x00",)), Scope(("x" * 513,))])
async def test_a_binding_must_mean_something(real: Redis, scope: Scope) -> None:
    """An empty prefix would bind to nothing, as a shell's unset variable makes it."""
    context = OperatorContext.of(Operator("anna", Role.ADMIN, "test"), load(), real)
    with pytest.raises(Refused, match="at most 100 sources and prefixes"):
        await tokens.create(context, Wanted("x", Role.EMITTER, scope=scope))


def test_damage_is_named(cli: Cli, store: redis.Redis) -> None:
    """What another program wrote among the tokens is told, and the others are shown."""
    made(cli)
    store.hset(key_of("tokens"), "deadbeef", "x")
    assert "deadbeef among the tokens was not written by closer" in cli.said("token", "list")[1]
    assert len(cli.lines("token", "list")) == 1


def test_an_end_is_shown(cli: Cli, store: redis.Redis) -> None:
    """When a token ends is shown, and that it has ended."""
    made(cli, "brief", "viewer", "--expires", "1h")
    assert "expired" not in cli.text("token", "list")
    store.hset(key_of("tokens"), "aa", '{"name": "old", "role": "viewer", "created": 1, "expires": 2}')
    assert "expired" in cli.text("token", "list")
    assert {one["name"]: one["expired"] for one in cli.lines("token", "list")} == {"brief": False, "old": True}


async def token(book: Book, name: str, role: str = "viewer", lasts_s: float | None = None, **more: object) -> str:
    """Make a token with a secret that is its name."""
    record = {"name": name, "role": role, **more}
    await book.ledger.tokens.create(digest_of(name), record, lasts_s=lasts_s, by="x", why="", door="test")
    return name


async def test_who_comes_with_a_secret(real: Redis) -> None:
    """It is known with its name, role, door and scope; nobody is known without, and a revoked one no longer."""
    book = Book(real)
    who = Identify(book.ledger, "api")
    assert await who("") == Identified(None, tokens=False)
    secret = await token(book, "leeds", "emitter", sources=["wms"])
    leeds = Operator("leeds", Role.EMITTER, "api", Scope(("wms",)))
    assert await who(secret) == Identified(leeds, tokens=True)
    assert await who("") == await who("closer_guessed") == Identified(None, tokens=True)
    await book.ledger.tokens.revoke("leeds", by="x", why="", door="test")
    assert await who(secret) == Identified(None, tokens=False)


async def test_a_token_that_is_not_good(real: Redis) -> None:
    """One that has expired, or whose role this release does not know, lets nobody in; there are tokens all the same."""
    book = Book(real)
    brief, odd = await token(book, "brief", lasts_s=1), await token(book, "odd", "king")
    who = Identify(book.ledger, "api")
    assert (await who(brief)).operator
    book.clock.forward(1)
    assert await who(brief) == await who(odd) == Identified(None, tokens=True)


async def used_ms(book: Book) -> int | None:
    """When the only token was last used."""
    [found] = (await book.ledger.tokens.all()).found
    return getattr(found, "used_ms", None)


async def test_the_last_use_is_written_once_a_minute(real: Redis) -> None:
    """However many requests come."""
    book = Book(real)
    secret, who = await token(book, "anna"), Identify(book.ledger, "api")
    start = book.clock()
    for _ in range(3):
        await who(secret)
        book.clock.forward(29)
    assert await used_ms(book) == start
    await who(secret)
    assert await used_ms(book) == start + 87_000


async def test_a_full_store_lets_people_look(real: Redis) -> None:
    """A use that cannot be written down keeps nobody out."""
    book = Book(real)
    secret = await token(book, "anna")
    await real.set(key_of("tokens_used"), "not a hash")
    assert (await Identify(book.ledger, "api")(secret)).operator


@pytest.mark.parametrize(
    ("scope", "source", "reference", "covered"),
    [
        (Scope(), "any", "sg_1", True),
        (Scope(("wms",)), "wms", "sg_1", True),
        (Scope(("wms",)), "wms2", "sg_1", False),
        (Scope((), ("LDS-", "MAN-")), "any", "MAN-1", True),
        (Scope((), ("LDS-", "MAN-")), "any", "man-1", False),
        (Scope(("wms",), ("LDS-",)), "wms", "MAN-1", False),
    ],
)
def test_a_scope(scope: Scope, source: str, reference: str, covered: bool) -> None:
    """Both must hold: the source is one of those, and the reference begins so."""
    assert scope.covers(source, reference) is covered


async def test_questions_go_together() -> None:
    """Those that come while a call is on its way are answered by the next one, which begins after them."""
    calls, go = list[list[int]](), asyncio.Event()

    async def call(some: Sequence[int]) -> list[int]:
        calls.append(list(some))
        await go.wait()
        return [2 * one for one in some]

    together = Together(call, most=3)
    asked = [asyncio.create_task(together.ask(number)) for number in range(6)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked[4].cancel()
    go.set()
    assert await asyncio.gather(*asked[:4], asked[5]) == [0, 2, 4, 6, 10]
    assert calls == [[0, 1, 2], [3, 5]]
    assert await together.ask(7) == 14


async def test_each_asker_hears_of_an_error() -> None:
    """One that has gone meanwhile does no harm, and the next question is asked again."""
    go = asyncio.Event()

    async def call(some: Sequence[int]) -> list[int]:
        await go.wait()
        raise OSError(f"no answer to {len(some)}")

    together = Together(call, most=10)
    asked = [asyncio.create_task(together.ask(number)) for number in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked[0].cancel()
    go.set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in found] == [asyncio.CancelledError, OSError, OSError]
    with pytest.raises(OSError, match="no answer to 1"):
        await together.ask(1)


async def test_who_has_gone_before_the_call_is_not_asked_for() -> None:
    """A request that was given up is not done afterwards."""
    calls, go = list[list[int]](), asyncio.Event()

    async def call(some: Sequence[int]) -> list[int]:
        calls.append(list(some))
        await go.wait()
        return list(some)

    together = Together(call, most=10)
    asked = [asyncio.create_task(together.ask(1))]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked += [asyncio.create_task(together.ask(number)) for number in (2, 3)]
    await asyncio.sleep(0)
    asked[0].cancel()
    asked[1].cancel()
    asked[2].cancel()
    go.set()
    await asyncio.gather(*asked, return_exceptions=True)
    assert await together.ask(4) == 4
    assert calls == [[1], [4]]
