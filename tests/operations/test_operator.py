"""Who may do what: one table, and every refusal, without any door."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tasks.closure import State
from tasks.events.event import Rejection
from tests.operations.conftest import Cli
from tests.support import key_of
from tests.tasks.book import Book
from worker.cli import phrase
from worker.cli.commands import COMMANDS
from worker.operations import bulk, dead_letters, gate, policy, replay
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_filter import DeadLetterFilter
from worker.operations.dead_letter_selection import DeadLetterSelection
from worker.operations.frozen import FrozenSelection, freeze
from worker.operations.operator import PERMISSIONS, Chosen, Operator, Role, Verb, guard
from worker.operations.refusal import Refused, Rule
from worker.operations.selection import Filter, Selection
from worker.operations.step import Step
from worker.settings import load

LOOKS = {Verb.STATUS, Verb.LIST, Verb.SHOW, Verb.REJECTED, Verb.AUDIT, Verb.CHECK, Verb.ACTIONS}
UNAUDITED = LOOKS | {Verb.PUBLISH, Verb.FOLLOW, Verb.LIST_TOKENS}
ACTS = {
    Verb.REQUEUE, Verb.DISCARD, Verb.VERIFY, Verb.HOLD, Verb.RELEASE, Verb.PAUSE, Verb.RESUME, Verb.REPLAY,
    Verb.DISCARD_REJECTED, Verb.EXPORT_REJECTED, Verb.STOP_ACTION, Verb.RESUME_ACTION, Verb.RECALL,
}  # fmt: skip
MAY: dict[Role, set[Verb]] = {
    Role.EMITTER: {Verb.PUBLISH, Verb.FOLLOW},
    Role.VIEWER: LOOKS,
    Role.OPERATOR: LOOKS | ACTS,
    Role.ADMIN: set(Verb),
}
CLOSURES = Selection(("sg_1",))
DEAD_LETTERS = DeadLetterSelection(("1-0",))
CHOSEN: dict[Verb, Chosen] = {
    **dict.fromkeys((Verb.REQUEUE, Verb.DISCARD, Verb.VERIFY, Verb.HOLD, Verb.RELEASE), CLOSURES),
    **dict.fromkeys((Verb.REPLAY, Verb.DISCARD_REJECTED), DEAD_LETTERS),
    Verb.ACCEPT_TYPE: DeadLetterSelection(accept_type="x.y"),
    Verb.USE_SUBJECT: DeadLetterSelection(use_subject=True),
}
NEED_A_WHY = {
    Verb.DISCARD, Verb.HOLD, Verb.RELEASE, Verb.DISCARD_REJECTED, Verb.OVERRIDE, Verb.SHORTEN_AUDIT, Verb.MOVE_API,
}  # fmt: skip


def refused(role: Role, verb: Verb, selection: Chosen | None, why: str = "w", name: str = "anna", **more: Any) -> Any:
    """The rule that an operator is refused by; None: they may go on."""
    try:
        guard(Operator(name, role, "test"), verb, selection, why, **more)
    except Refused as refusal:
        return refusal.rule
    return None


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("verb", Verb)
def test_who_may_do_what(verb: Verb, role: Role) -> None:
    """The guard follows the whole table: each verb for each role."""
    expected = None if verb in MAY[role] else Rule.NOT_PERMITTED
    assert refused(role, verb, CHOSEN.get(verb)) == expected


@pytest.mark.parametrize("verb", Verb)
def test_what_each_verb_needs(verb: Verb) -> None:
    """A change needs a name; some verbs need a choice; what cannot be undone needs a reason."""
    changes = verb not in UNAUDITED
    assert refused(Role.ADMIN, verb, CHOSEN.get(verb), name=" ") == (Rule.NAMELESS if changes else None)
    assert refused(Role.ADMIN, verb, None) == (Rule.EVERYTHING if verb in CHOSEN else None)
    assert refused(Role.ADMIN, verb, CHOSEN.get(verb), why=" ") == (Rule.WHY_NEEDED if verb in NEED_A_WHY else None)
    assert PERMISSIONS.keys() == set(Verb)


def test_the_page_about_trust_has_the_same_table() -> None:
    """docs/trust.md says who may do what, row by row."""
    page = (Path(__file__).parents[2] / "docs" / "trust.md").read_text()
    for verb in Verb:
        cells = " | ".join("yes" if verb in MAY[role] else "" for role in Role)
        assert f"\n| {verb} | {cells} |\n" in page


@pytest.mark.parametrize("verb", [Verb.REQUEUE, Verb.DISCARD])
def test_only_failed_closures_are_acted_upon(verb: Verb) -> None:
    """The table says so, for every door; the API is asked about any."""
    assert PERMISSIONS[verb].states == {State.FAILED}
    assert PERMISSIONS[Verb.VERIFY].states == set(State)


@pytest.mark.parametrize(
    ("role", "verb", "size", "confirmed", "rule"),
    [
        (Role.OPERATOR, Verb.DISCARD, 20, None, None),
        (Role.OPERATOR, Verb.DISCARD, 21, None, Rule.TOO_MANY),
        (Role.OPERATOR, Verb.DISCARD, 21, 21, Rule.TOO_MANY),
        (Role.ADMIN, Verb.DISCARD, 21, None, None),
        (Role.OPERATOR, Verb.REQUEUE, 1000, None, None),
        (Role.OPERATOR, Verb.REQUEUE, 1001, None, Rule.COUNT_NOT_CONFIRMED),
        (Role.OPERATOR, Verb.REQUEUE, 1001, 1000, Rule.COUNT_NOT_CONFIRMED),
        (Role.OPERATOR, Verb.REQUEUE, 1001, 1001, None),
        (Role.ADMIN, Verb.REQUEUE, 1001, None, None),
        (Role.OPERATOR, Verb.HOLD, 1001, None, None),
        (Role.OPERATOR, Verb.RELEASE, 1001, None, Rule.COUNT_NOT_CONFIRMED),
    ],
)
def test_large_actions(role: Role, verb: Verb, size: int, confirmed: int | None, rule: Rule | None) -> None:
    """An operator discards a few at once, and repeats the count to re-queue many."""
    frozen = FrozenSelection(verb, CLOSURES, [f"sg_{n}" for n in range(size)], {})
    assert refused(role, verb, frozen, confirmed=confirmed) == rule


@pytest.mark.parametrize(
    ("selection", "rule"),
    [
        (Selection(("sg_1",), Filter(text="x")), Rule.MIXED),
        (Selection(("../etc",)), Rule.NOT_A_REFERENCE),
        (DeadLetterSelection(accept_type="x", use_subject=True), Rule.TWO_STEPS),
        (DeadLetterSelection(source="/w"), None),
        (DeadLetterSelection(problem="x", event_type="y"), None),
        (DeadLetterSelection(problem="", source="", event_type=""), Rule.EVERYTHING),
        (DeadLetterSelection(("1-0",), problem="x"), Rule.KIND_WITHOUT_SUBJECT),
        (DeadLetterSelection(("1-0",), event_type="x", use_subject=True), Rule.KIND_WITHOUT_SUBJECT),
        (DeadLetterSelection(use_subject=True, fields=(("x", "y"),)), Rule.CORRECTION_WITHOUT_IDS),
        (DeadLetterSelection(accept_type="x", edited=True), Rule.CORRECTION_WITHOUT_IDS),
        (DeadLetterSelection(("²-0",)), Rule.NOT_AN_ID),
        (DeadLetterSelection(use_subject=True, up_to="now"), Rule.NOT_AN_ID),
        (DeadLetterSelection(("1-0", "2-0"), fields=(("data.reference", "sg_1"),)), Rule.ONE_VALUE_FOR_SEVERAL),
        (Selection(filter=Filter(text="")), Rule.EVERYTHING),
        (Selection(filter=Filter(text="", prefix="")), Rule.EVERYTHING),
        (Selection(("",)), Rule.NOT_A_REFERENCE),
        (DeadLetterSelection(accept_type=""), Rule.EVERYTHING),
        (DeadLetterFilter(problem="", event_type=""), Rule.EVERYTHING),
        (DeadLetterFilter(("1-0",), problem="x"), Rule.MIXED),
        (DeadLetterFilter(("1",)), Rule.NOT_AN_ID),
        (DeadLetterFilter(event_type="x"), None),
        (DeadLetterSelection(accept_type="x", up_to=""), Rule.NOT_AN_ID),
        (replay.Plan(DeadLetterSelection(use_subject=True)), Rule.SUBJECT_NOT_SHOWN),
        (replay.Plan(DeadLetterSelection(use_subject=True, shown=True)), None),
        (DeadLetterSelection(("1-0",), fields=(("reference", "sg_1"),)), None),
    ],
)
def test_choices_that_are_wrong_in_themselves(selection: Chosen, rule: Rule | None) -> None:
    """Whatever the verb and whoever asks, an empty text, as a shell's unset variable gives, is not a choice."""
    assert refused(Role.ADMIN, Verb.REPLAY, selection) == rule


@dataclass
class Hatch:
    """A second front end: JSON in, JSON out. It knows no rule, and no library that the command line needs."""

    context: OperatorContext

    async def ask(self, verb: str, why: str = "", **given: Any) -> dict[str, Any]:
        """Do what is asked for, and answer; a refusal is an answer, too."""
        try:
            return await self._do(Verb(verb), why, BulkOptions(why), **given)
        except Refused as refusal:
            return {"refused": refusal.as_json()}

    async def _do(self, verb: Verb, why: str, how: BulkOptions, **given: Any) -> dict[str, Any]:
        match verb:
            case Verb.REQUEUE | Verb.DISCARD:
                act = bulk.requeue if verb is Verb.REQUEUE else bulk.discard
                frozen = await freeze(self.context, verb, Selection.from_json(given), why)
                return (await act(self.context, frozen, how)).as_json()
            case Verb.REPLAY:
                planned, _ = await replay.plan(self.context, DeadLetterSelection.from_json(given))
                return (await replay.replay(self.context, planned, how)).as_json()
            case Verb.DISCARD_REJECTED:
                letters = await dead_letters.freeze(self.context, verb, DeadLetterFilter.from_json(given), why)
                return (await dead_letters.discard(self.context, letters, how)).as_json()
            case Verb.OVERRIDE:
                return (await gate.resume(self.context, why=why, override_retry_after=True)).as_json()
            case Verb.MOVE_API:
                return dict(zip(("before", "now"), await policy.move_api(self.context, why=why), strict=True))
            case _:
                return (await gate.pause(self.context, why=why)).as_json()


@pytest.fixture
async def hatch(any_store: Redis) -> Hatch:
    """The second front end, on a ledger with three failed closures, one closed, and three rejected events."""
    book = Book(any_store)
    await book.receive("sg_1", "sg_2", "sg_3", "closed")
    for reference in ("sg_1", "sg_2", "sg_3"):
        await book.failed(reference)
    await book.closed(await book.claim("closed"))
    for number, subject in enumerate(("sg_8", "sg_9", "sg_10")):
        event = {"specversion": "1.0", "id": str(number), "source": f"/w{number % 2}", "type": "group.complete"}
        body = json.dumps(event | {"subject": subject, "data": {"site": 1}}).encode()
        await book.ledger.dead_letters.reject(body, Rejection(("subject: x",)), f"{number}-0")
    operator = Operator("anna", Role.ADMIN, "hatch")
    return Hatch(OperatorContext.of(operator, load(), any_store))


ASKED: list[tuple[Role, dict[str, Any], Rule]] = [
    (Role.VIEWER, {"verb": "pause"}, Rule.NOT_PERMITTED),
    (Role.ADMIN, {"verb": "requeue", "filter": {}}, Rule.EVERYTHING),
    (Role.ADMIN, {"verb": "requeue", "references": ["a b"]}, Rule.NOT_A_REFERENCE),
    (Role.ADMIN, {"verb": "discard", "references": ["sg_1"]}, Rule.WHY_NEEDED),
    (Role.ADMIN, {"verb": "discard rejected", "rejected": ["1-0"]}, Rule.WHY_NEEDED),
    (Role.ADMIN, {"verb": "discard rejected", "why": "w", "problem": ""}, Rule.EVERYTHING),
    (Role.OPERATOR, {"verb": "discard rejected", "why": "w", "rejected": [f"{n}-0" for n in range(21)]}, Rule.TOO_MANY),
    (Role.ADMIN, {"verb": "override"}, Rule.WHY_NEEDED),
    (Role.OPERATOR, {"verb": "override", "why": "w"}, Rule.NOT_PERMITTED),
    (Role.ADMIN, {"verb": "move-api"}, Rule.WHY_NEEDED),
    (Role.ADMIN, {"verb": "replay"}, Rule.EVERYTHING),
    (Role.OPERATOR, {"verb": "replay", "accept_type": "x"}, Rule.NOT_PERMITTED),
    (Role.ADMIN, {"verb": "replay", "rejected": ["1-0", "2-0"], "set": [["id", "x"]]}, Rule.ONE_VALUE_FOR_SEVERAL),
    (Role.ADMIN, {"verb": "replay", "use_subject": True}, Rule.SEVERAL_KINDS),
    (Role.ADMIN, {"verb": "replay", "use_subject": True, "source": "/w0"}, Rule.SUBJECT_NOT_SHOWN),
]  # fmt: skip


@pytest.mark.parametrize(("role", "request_", "rule"), ASKED)
async def test_a_second_front_end_gets_every_refusal(
    hatch: Hatch, role: Role, request_: dict[str, Any], rule: Rule
) -> None:
    """It copies no rule, and what it is refused has changed nothing."""
    hatch.context = replace(hatch.context, operator=Operator("anna", role, "hatch"))
    answer = await hatch.ask(**request_)
    assert answer["refused"]["rule"] == rule
    assert answer["refused"]["message"]
    assert "--" not in answer["refused"]["message"]
    assert await hatch.context.ledger.redis.xlen(key_of("audit")) == 0
    assert (await hatch.context.ledger.gate.look()).open


async def test_a_second_front_end_acts_on_failed_closures_only(hatch: Hatch) -> None:
    """What is not failed is skipped, and the audit names the door."""
    answer = await hatch.ask("requeue", references=["sg_1", "closed", "never"])
    assert len(answer.pop("id")) == 9
    assert answer == {"matched": 3, "requeued": 1, "skipped": {"closed": 1, "unknown": 1}, "dry_run": False}
    entries: Any = await hatch.context.ledger.redis.xrange(key_of("audit"))
    assert entries[0][1][b"door"] == b"hatch"


@pytest.mark.long(but=["show"])
@pytest.mark.parametrize("module", ["gate", "bulk", "status", "list", "show", "audit", "rejected", "publish"])
def test_commands_that_do_not_call_the_api_start_without_its_client(module: str) -> None:
    """They do not import the API's client, so that they start fast."""
    code = f"import sys, worker.cli.{module}; print({{'aiohttp', 'celery', 'kombu'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("verb", Verb)
def test_every_verb_has_a_command(verb: Verb) -> None:
    """Each verb's step can be typed as a command."""
    assert shlex.split(phrase.command(Step(verb)))[1] in COMMANDS


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("verb", [Verb.DISCARD, Verb.REPLAY, Verb.DISCARD_REJECTED, Verb.OVERRIDE])
def test_every_refusal_has_words(rule: Rule, verb: Verb) -> None:
    """The command line has words for each refusal, with any data."""
    refused = Refused(rule, "no: \x1b", verb=verb, field="x", events=2, wrong=[f"line {n}: \x1b" for n in range(99)])
    lines = phrase.refusal(refused).split("\n")
    assert all(line.isprintable() for line in lines)
    assert len(lines) < 30


def test_the_command_line_phrases_what_is_refused(cli: Cli) -> None:
    """A refusal names the command line's own options, and ends as wrong usage."""
    assert "--why TEXT" in cli("discard", "sg_1", code=2).stderr
    assert "--why TEXT" in cli("ledger", "move-api", code=2).stderr
    assert "--accept-type TYPE" in cli("rejected", "replay", code=2).stderr
