"""Checks the set-up: configuration, store, broker, API and its key. Each line that is wrong comes with its remedy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from worker import open_files
from worker.broker.celery_variables import REMEDY
from worker.operations import check_broker, check_store
from worker.operations.check_api import api, called, held_back
from worker.operations.check_ledger import ledger
from worker.operations.finding import Finding, Line
from worker.operations.names import without_address
from worker.operations.operator import Operator, Verb, guard
from worker.settings import Settings, unknown_variables


async def check(
    operator: Operator, settings: Settings, connect: Callable[[], Any], ignored: Sequence[str] = ()
) -> AsyncIterator[Line]:
    """Look at one thing after the other, and yield a line for each.

    `connect`: returns the connection that a worker would consume from. `ignored`: Celery's own variables that are set.
    It raises Refused, and nothing for what it finds.
    """
    guard(operator, Verb.CHECK)
    for line in configuration(settings, ignored):
        yield line
    yield files(settings)
    async for line in _servers(operator, settings, connect):
        yield line


async def _servers(operator: Operator, settings: Settings, connect: Callable[[], Any]) -> AsyncIterator[Line]:
    """Yield the lines about store, ledger, broker and API. What cannot be asked is not waited for again."""
    nameless = await without_address(
        [check_store.place_of(settings), check_broker.place_of(settings), called(settings)]
    )
    of_store = nameless.get("store") or await check_store.store(operator, settings)
    for line in of_store:
        yield line
    answers = all(line.finding is not Finding.WRONG for line in of_store)
    if answers:
        async for line in ledger(operator, settings):
            yield line
    lost = nameless.get("broker") if settings.broker_url else None
    for line in lost or await check_broker.broker(settings, connect, store_answers=answers):
        yield line
    if "api" in nameless:
        yield nameless["api"][0]
        return
    yield (await held_back(operator, settings) if answers else None) or await api(
        operator if answers else None, settings
    )


def configuration(settings: Settings, ignored: Sequence[str] = ()) -> list[Line]:
    """Return the lines about the variables: whether each is known, the key is set, and none of Celery's own is set.

    That their values are valid is known, because there would be no `settings` otherwise.
    """
    wrong = [
        Line("configuration", Finding.WRONG, f"{name} is not a setting of closer's", "correct its name, or unset it")
        for name in unknown_variables()
    ]
    if settings.api_key is None:
        remedy = "set it to the key that Sorted gave you"
        wrong.append(Line("configuration", Finding.WRONG, "CLOSER_API_KEY is not set", remedy))
    others = [Line("configuration", Finding.WARNING, f"{name} is set and has no effect", REMEDY) for name in ignored]
    return (wrong or [Line("configuration", Finding.OK, "every CLOSER_ variable is known and valid")]) + others


def files(settings: Settings) -> Line:
    """Return the line about open files: whether a worker that is started like this command may open enough of them."""
    if problem := open_files.problem(settings.concurrency):
        return Line("open files", Finding.WRONG, problem, open_files.remedy(settings.concurrency))
    return Line("open files", Finding.OK, f"CLOSER_CONCURRENCY={settings.concurrency} fits the limit of open files")
