"""Answers many callers with few calls, so that a thousand requests a second are a few calls of the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")


class Together(Generic[Q, A]):
    """Collects questions while a call is on its way. The next call answers all of them.

    An answer is never older than its question: the call that gives it begins after the question was asked.
    """

    def __init__(
        self, call: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], *, most: int, limit_s: float | None = None
    ) -> None:
        """`call`: returns an answer to each question, in order. `most`: how many questions one call may have.

        `limit_s`: how long a call may take (s); None: as long as it takes.
        """
        self._call = call
        self._most = most
        self._limit_s = limit_s
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []
        self._running: asyncio.Task[None] | None = None

    async def ask(self, question: Q) -> A:
        """Return the answer. Raises what the call raises, and TimeoutError.

        A caller that is cancelled in time is not asked for.
        """
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, answer))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                some, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
                if some := [(question, answer) for question, answer in some if not answer.done()]:
                    await self._answer(some)
        finally:
            self._running = None

    async def _answer(self, some: list[tuple[Q, asyncio.Future[A]]]) -> None:
        try:
            async with asyncio.timeout(self._limit_s):
                answers = await self._call([question for question, _ in some])
        except Exception as error:  # whatever it is, each caller must hear of it
            for _, future in some:
                if not future.done():
                    future.set_exception(error)
            return
        for (_, future), answer in zip(some, answers, strict=True):
            if not future.done():
                future.set_result(answer)
