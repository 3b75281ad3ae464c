"""Asks the API for the items of stored bulk actions, and receives those of replays, for whoever carries them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.errors import CloserError, LedgerBroken, StoreUnavailable
from tasks.ledger.bulk_action import BulkAction
from tasks.ledger.ledger import Ledger
from worker.construct import api_of
from worker.operations.asked_step import Answered
from worker.operations.operator import Verb
from worker.operations.policy import refuse_foreign_api
from worker.operations.questions import Questions
from worker.operations.replay_step import Replayer
from worker.operations.step import CouldNot, GateShut
from worker.settings import Settings

if TYPE_CHECKING:  # its import is slow, and most commands make no call
    from tasks.api.client import SortedApi

CONNECTIONS = 10


class Asker:
    """Asks the API, with its first question also for what the action says of a shut gate.

    `strict`: a shut gate, or a long Retry-After, ends the asking and stops the action. Else the action waits.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        *,
        api: SortedApi | None = None,
        strict: bool = False,
        replayer: Replayer | None = None,
    ) -> None:
        """`api`: a client that somebody else closes; None: one of its own, which `aclose` closes.

        `replayer`: keeps what the events of a replay have come to.
        """
        self._replayer = replayer
        self.strict = strict
        self._ledger = ledger
        self._settings = settings
        self._theirs = api
        self._own: SortedApi | None = None

    def open(self) -> SortedApi:
        """Return the client. Raises ConfigurationError when there is no key, or the proxy cannot be used."""
        if self._theirs is not None:
            return self._theirs
        self._own = self._own or api_of(self._settings, connections=CONNECTIONS)
        return self._own

    async def aclose(self) -> None:
        """Close its own connections."""
        if self._own is not None:
            await self._own.aclose()

    def questions(self, *, while_shut: bool) -> Questions:
        """Return new questions within the fleet's rate limit. Raises as `open`."""
        limit = self._settings.rate_limit
        return Questions(self._ledger, self.open(), rate_limit=limit, while_shut=while_shut)

    async def look(self, *, while_shut: bool) -> str:
        """Return why nothing can be asked for now, "" when it can. Raises GateShut, StoreUnavailable and ForeignApi.

        A Retry-After of at most a minute is waited for.
        """
        await refuse_foreign_api(self._ledger, self._settings)
        questions = self.questions(while_shut=while_shut)
        await questions.look()
        return questions.ended

    async def ask(self, action_id: str, references: Sequence[str]) -> Answered:
        """Ask for groups of a stored action, or receive rejected events of a replay.

        Raises StoreUnavailable and LedgerBroken. What ends the asking for good is told as why the action is stopped.
        """
        action = await self._ledger.bulk.read(action_id)
        while_shut = isinstance(action, BulkAction) and action.options.while_shut
        try:
            if isinstance(action, BulkAction) and action.verb == Verb.REPLAY:
                replayer = self._replayer or Replayer()
                return Answered(await replayer.answer(self._ledger, self._settings, action, references))
            return await self._answers(references, while_shut=while_shut)
        except (StoreUnavailable, LedgerBroken):
            raise
        except GateShut as shut:
            return Answered(stop=str(shut), error=shut) if self.strict else Answered()
        except CloserError as error:
            return Answered(stop=str(error), error=error)

    async def _answers(self, references: Sequence[str], *, while_shut: bool) -> Answered:
        if ended := await self.look(while_shut=while_shut) if self.strict else "":
            return Answered(stop=ended)
        await refuse_foreign_api(self._ledger, self._settings)
        questions = self.questions(while_shut=while_shut)
        said = await questions.ask(references)
        found = {ref: says for ref, says in zip(references, said, strict=True) if says is not None}
        return Answered(found, questions.ended if self.strict else "")


async def must_be_able_to_ask(asker: Asker, *, while_shut: bool) -> None:
    """Raises GateShut, and CouldNot while the API has asked to hold back, before anything is begun."""
    if ended := await asker.look(while_shut=while_shut):
        raise CouldNot(f"{ended}, so nothing was asked and nothing was changed: try it again then")
