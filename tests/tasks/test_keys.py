"""Keys that the API refuses, as part of the ledger's contract: their workers stand still, the others go on."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from tasks.api_health import ApiHealth
from tasks.closure import Outcome, Reason, State
from tasks.ledger.values import Claim, Unclaimed
from tests.support import key_of
from tests.tasks.book import DEADLINE_S, LEASE_S, Book
from worker.attempts.permission import Permission, key_name

GROUPS = [f"sg_{number:03d}" for number in range(20)]


async def refused(book: Book, reference: str, key: str) -> None:
    """One attempt that is answered with 401."""
    await book.receive(reference)
    await book.settle(await book.claim(reference, key=key), State.QUEUED, key=key, health=ApiHealth.UNAUTHORISED)


async def forbidden(book: Book, reference: str, key: str) -> None:
    """One attempt that is answered with 403."""
    claim = await book.claim(reference, key=key)
    await book.settle(claim, State.FAILED, key=key, reason=Reason.FORBIDDEN, health=ApiHealth.FORBIDDEN)


async def probe(book: Book, key: str) -> Claim | None:
    """What a worker with a suspended key may attempt now."""
    due = await book.ledger.due(limit=500, grace_s=1.0, most=1000, key=key)
    return await book.claim(due.probe, key=key) if due.probe else None


async def suspended(book: Book) -> list[str]:
    """The keys that are suspended."""
    return [key.key for key in (await book.ledger.gate.look()).suspended]


async def test_one_refused_key_leaves_the_others_alone(book: Book) -> None:
    """The gate stays open for workers with another key; those of the refused one are given nothing."""
    await book.alive(good="good", bad="bad")
    await refused(book, "sg_1", "bad")
    gate = await book.ledger.gate.look()
    assert (gate.open, await suspended(book)) == (True, ["bad"])
    await book.receive("sg_2")
    assert await book.ledger.claim(["sg_2"], worker="b", lease_s=1, key="bad") == {"sg_2": Unclaimed.LATER}
    assert sorted(await book.due(key="good")) == ["sg_1", "sg_2"]
    for reference in ("sg_1", "sg_2"):
        assert await book.closed(await book.claim(reference, key="good"), key="good")


async def test_the_last_key_shuts_the_gate(book: Book) -> None:
    """When no worker that is alive has a key that counts, the gate is shut, and deadlines stand still."""
    await book.receive("keep")
    await book.alive(one="a", two="b")
    await refused(book, "sg_1", "a")
    await refused(book, "sg_2", "b")
    assert (await book.ledger.gate.look()).reason == "unauthorised"
    book.clock.forward(500)
    await book.open_gate("c")
    assert (await book.claim("keep", key="c")).remaining_s == DEADLINE_S


async def test_a_worker_that_was_not_seen_does_not_count(book: Book) -> None:
    """The good worker dies: fifteen seconds later the gate is shut, told by the next sign of life of the other."""
    await book.alive(good="good", bad="bad")
    await refused(book, "sg_1", "bad")
    book.clock.forward(15)
    await book.alive(bad="bad")
    assert (await book.ledger.gate.look()).open
    book.clock.forward(0.1)
    await book.alive(bad="bad")
    assert (await book.ledger.gate.look()).reason == "unauthorised"
    await book.alive(good="good")
    assert (await book.ledger.gate.look()).open


async def test_nothing_is_said_of_workers_that_are_not_there(book: Book) -> None:
    """All workers have gone, the good ones last: that the API refused their keys would be wrong."""
    await book.alive(good="good", bad="bad")
    await refused(book, "sg_1", "bad")
    for worker in ("bad", "good"):
        await book.ledger.heartbeats.write(worker)
    [standing] = (await book.ledger.gate.look()).standing
    assert standing.why == "no worker that is alive has a key that the API accepts"


async def test_each_key_has_its_own_probe(book: Book) -> None:
    """After 15, 30, 60 and 60 seconds one worker of the key attempts one closure; nothing else is called."""
    await book.alive(one="a")
    await refused(book, "sg_1", "a")
    await book.receive("sg_2")
    pauses, last = [], book.clock.ms
    for _ in range(4):
        while not (claim := await probe(book, "a")):
            book.clock.forward(0.5)
        assert await probe(book, "a") is None
        pauses.append((book.clock.ms - last) / 1000)
        last = book.clock.ms
        await book.settle(claim, State.QUEUED, key="a", health=ApiHealth.UNAUTHORISED)
        assert (await book.ledger.gate.look()).reason == "unauthorised"
    assert pauses == pytest.approx([15, 30, 60, 60], abs=0.6)


async def test_a_good_probe_ends_it(book: Book) -> None:
    """The key is accepted again: it is suspended no more, and the gate opens."""
    await book.alive(one="a")
    await refused(book, "sg_1", "a")
    book.clock.forward(15)
    claim = await probe(book, "a")
    assert claim is not None
    await book.closed(claim, key="a")
    gate = await book.ledger.gate.look()
    assert (gate.open, gate.suspended) == (True, ())


async def test_a_probe_while_others_work(book: Book) -> None:
    """A suspended key is probed with what is due, while the other workers take the rest."""
    await book.alive(good="good", bad="bad")
    await refused(book, "sg_1", "bad")
    await book.receive("sg_2")
    book.clock.forward(15)
    await book.alive(good="good", bad="bad")
    due = await book.ledger.due(limit=500, grace_s=1.0, most=1000, key="bad")
    assert (due.probe, due.references) == ("sg_1", ["sg_2"])
    assert due.word.suspended_ms == book.clock.ms - 15_000
    await book.closed(await book.claim("sg_1", key="bad"), key="bad")
    assert await suspended(book) == []


async def test_a_resume_probes_every_key_at_once(book: Book) -> None:
    """An operator who has had the account mended need not wait for the next probe."""
    await book.alive(one="a")
    await refused(book, "sg_1", "a")
    assert await probe(book, "a") is None
    assert (await book.ledger.gate.resume()).reason == "unauthorised"
    assert await probe(book, "a") is not None


async def test_five_403_in_a_row(book: Book) -> None:
    """Five groups refused one after the other suspend the key, and are queued again when the key is accepted."""
    await book.alive(one="a")
    await book.receive(*GROUPS[:6])
    for reference in GROUPS[:5]:
        assert (await book.ledger.gate.look()).open
        await forbidden(book, reference, "a")
    assert (await book.ledger.gate.look()).reason == "unauthorised"
    await book.due(key="a")
    assert {await book.state(reference) for reference in GROUPS[:5]} == {State.FAILED}
    book.clock.forward(15)
    claim = await probe(book, "a")
    assert claim is not None
    await book.closed(claim, key="a")
    assert set(await book.due(most=1000, key="a")) <= set(GROUPS[:5])
    assert {await book.state(reference) for reference in GROUPS[:5]} == {State.QUEUED}


async def test_groups_that_are_refused_for_themselves(book: Book) -> None:
    """Five that stay refused are not called again with every event that closes: after three more rounds they failed."""
    await book.alive(one="a")
    await book.receive(*GROUPS[:5])
    refusals = 0
    for number in range(8):
        while reference := next(iter(await book.due(limit=1, key="a")), None):
            if reference.startswith("good"):
                await book.closed(await book.claim(reference, key="a"), key="a")
            else:
                await forbidden(book, reference, "a")
                refusals += 1
        book.clock.forward(60)
        await book.alive(one="a")
        await book.receive(f"good-{number}")
    assert refusals == 5 * 4
    assert (await book.ledger.gate.look()).suspended == ()
    assert {await book.state(reference) for reference in GROUPS[:5]} == {State.FAILED}
    await book.ledger.requeue(GROUPS[:1])
    await forbidden(book, GROUPS[0], "a")
    assert await book.redis.scard(key_of("forbidden:a")) == 1, "an operator's re-queue begins anew"


async def test_403_of_one_key_are_left_to_the_others(book: Book) -> None:
    """While others work, what a key without permission was refused is queued again for them at once."""
    await book.alive(good="good", bad="bad")
    await book.receive(*GROUPS[:7])
    claims = [await book.claim(reference, key="bad") for reference in GROUPS[:7]]
    for claim in claims:
        await book.settle(claim, State.FAILED, key="bad", reason=Reason.FORBIDDEN, health=ApiHealth.FORBIDDEN)
    assert (await book.ledger.gate.look()).open
    assert set(await book.due(key="good")) == set(GROUPS[:7])


async def test_403_now_and_then(book: Book) -> None:
    """Groups refused one by one, with others closed in between by the same key, have failed for themselves."""
    await book.alive(one="a")
    for reference in GROUPS[:8]:
        await book.receive(reference, f"good-{reference}")
        await forbidden(book, reference, "a")
        await book.closed(await book.claim(f"good-{reference}", key="a"), key="a")
    assert (await book.ledger.gate.look()).open
    await book.due(key="a")
    assert {await book.state(reference) for reference in GROUPS[:8]} == {State.FAILED}


async def test_a_suspended_key_begins_no_slow_start(book: Book) -> None:
    """A worker that starts with a key that is known to be refused does not slow the others down."""
    await book.alive(good="good", bad="bad")
    await refused(book, "sg_1", "bad")
    await book.ledger.gate.start_slowly("bad")
    assert (await book.ledger.gate.look()).window is None
    await book.ledger.gate.start_slowly("good")
    assert (await book.ledger.gate.look()).window == 48


async def test_a_key_that_nobody_has_any_more(book: Book) -> None:
    """An hour after its last worker has gone a suspended key is forgotten."""
    await book.alive(good="good", bad="bad")
    await refused(book, "sg_1", "bad")
    book.clock.forward(3599)
    await book.alive(good="good")
    assert await suspended(book) == ["bad"]
    book.clock.forward(2)
    await book.alive(good="good")
    assert await suspended(book) == []


async def test_rotating_the_key_while_working(book: Book) -> None:
    """What the workers of the old key gave back is closed by those of the new one: nothing is lost, nothing fails."""
    await book.alive(old="old")
    await book.receive(*GROUPS)
    claims = [await book.claim(reference, key="old") for reference in GROUPS[:10]]
    for claim in claims[:6]:
        await book.closed(claim, key="old")
    for claim in claims[6:]:
        await book.settle(claim, State.QUEUED, key="old", health=ApiHealth.UNAUTHORISED)
    await book.alive(new="new")
    await book.ledger.gate.start_slowly("new")
    for _ in range(10):
        for reference in await book.due(key="new"):
            await book.closed(await book.claim(reference, key="new"), Outcome.CLOSED, key="new")
    assert {await book.state(reference) for reference in GROUPS} == {State.CLOSED}


async def test_a_thousand_403_cost_little(book: Book) -> None:
    """However many are in flight, what one of them costs does not grow: they are kept in a set, not in the gate."""
    references = [f"sg_{number}" for number in range(1000)]
    await book.alive(one="a")
    await book.receive(*references)
    claims = await book.ledger.claim(references, worker="w", lease_s=LEASE_S, key="a")
    for claim in claims.values():
        assert isinstance(claim, Claim)
        await book.settle(claim, State.FAILED, key="a", reason=Reason.FORBIDDEN, health=ApiHealth.FORBIDDEN)
    fields = await book.redis.hgetall(key_of("gate"))
    assert sum(len(value) for value in fields.values()) < 2000
    await book.open_gate("b")
    for _ in range(6):
        await book.ledger.due(limit=1, grace_s=1.0, most=1000, key="b")
    assert await book.redis.zcard(key_of("failed")) == 0


def test_a_key_is_named_without_being_told() -> None:
    """The name is short, the same for the same key and ledger, another for others, and holds nothing of the key."""
    key = SecretStr("the-secret-key-of-the-account")
    name = key_name("ledger-1", key)
    assert name == key_name("ledger-1", key)
    assert len({name, key_name("ledger-2", key), key_name("ledger-1", SecretStr("other"))}) == 3
    assert len(name) == 8
    assert name not in key.get_secret_value()


def test_an_answer_that_comes_late_does_not_count() -> None:
    """Two scripts ran at the same time, and the older answer came last: what the newer has told stands."""
    told: list[bool] = []
    permission = Permission(tell=told.append)
    permission.hear(10_000, 10_000, 10_000)
    permission.hear(9_990, 0, 0)
    assert permission.suspended
    assert not permission.allows(10_000)
    permission.hear(11_000, 0, 0)
    assert permission.allows(10_000)
    assert told == [False, True]
    permission.hear(1_000, 500, 0)  # the store's clock was set back
    assert not permission.allows(500)


def test_a_worker_names_its_refused_key_in_its_log(caplog: pytest.LogCaptureFixture) -> None:
    """Once when the key is suspended, and once when it is accepted again; not with every answer of the ledger."""
    caplog.set_level("WARNING", "closer.permission")
    permission = Permission("0ec235b4")
    permission.hear(1_000, 0, 0)
    for at_ms in (2_000, 3_000):
        permission.hear(at_ms, 0, 2_000)
    for at_ms in (4_000, 5_000):
        permission.hear(at_ms, 0, 0)
    refused, accepted = (record.getMessage() for record in caplog.records)
    assert "refuses the key 0ec235b4" in refused
    assert "closer status" in refused
    assert "accepts the key 0ec235b4 again" in accepted
