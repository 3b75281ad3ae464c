"""Tells who comes with a secret. It asks the store each time, so a token that is revoked is refused at once."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.ledger.ledger import Ledger
from tasks.ledger.tokens import Token, Tokens, digest_of
from worker.operations.operator import Operator, Role, Scope
from worker.operations.together import Together

_AT_ONCE = 200
_NOTED_MS = 60_000


@dataclass(frozen=True, slots=True)
class Identified:
    """Who it is, None when the secret is not one of a token that is good. `tokens`: whether there is any token."""

    operator: Operator | None
    tokens: bool


class Identify:
    """Finds tokens by their secrets, many with one look at the store."""

    def __init__(self, ledger: Ledger, door: str, limit_s: float | None = None) -> None:
        """`door`: the front end that the audit names. `limit_s`: how long one look at the store may take (s)."""
        self._ledger = ledger
        self._door = door
        self._looks: Together[str, Tokens] = Together(self._look, most=_AT_ONCE, limit_s=limit_s)
        self._noted_ms: dict[str, int] = {}

    async def __call__(self, secret: str) -> Identified:
        """Return who comes with this secret; "" for none.

        Raises StoreUnavailable, LedgerBroken and TimeoutError.
        """
        digest = digest_of(secret)
        found = await self._looks.ask(digest)
        token = found.get(digest)
        operator = self._operator(token) if token and not token.expired(found.now_ms) else None
        if token and operator:
            await self._note_use(token, found.now_ms)
        return Identified(operator, found.count > 0)

    async def _look(self, digests: Sequence[str]) -> list[Tokens]:
        found = await self._ledger.tokens.look(sorted(set(digests)))
        return [found] * len(digests)

    def _operator(self, token: Token) -> Operator | None:
        with suppress(ValueError):  # a role that this release does not know
            return Operator(token.name, Role(token.role), self._door, Scope(token.sources, token.prefixes))
        return None

    async def _note_use(self, token: Token, now_ms: int) -> None:
        """Write down that the token is used, at most once a minute. It is let in when that fails, too."""
        last_ms = max(token.used_ms or 0, self._noted_ms.get(token.digest, 0))
        if abs(now_ms - last_ms) >= _NOTED_MS:
            self._noted_ms[token.digest] = now_ms
            with suppress(StoreUnavailable, LedgerBroken):
                await self._ledger.tokens.used(token.digest)
