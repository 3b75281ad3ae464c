"""The tokens by which people and programs are known to the console, the API and the HTTP door.

A secret is 256 random bits behind a prefix that scanners for secrets can find. The ledger keeps its SHA-256 and finds
the token by that. A slow hash would protect secrets that people make up, and nobody can guess 256 bits.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tasks.history import iso
from tasks.ledger.codec import NOT_OURS, compact_json
from tasks.ledger.scripts import Scripts, shown
from tasks.ledger.values import Unreadable

SECRET_PREFIX = "closer_"  # noqa: S105  (it begins every secret)
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Token:
    """What the ledger knows of a token. Times are ms since the epoch by the store's clock; None: never.

    `digest`: the SHA-256 of its secret, in hex. `name`: who comes with it; no two tokens have the same. `role`: what it
    is for. `sources`, `prefixes`: if there are any, its events must come from one of these sources, and name groups
    whose references begin with one of these prefixes. `by`: who made it. `used_ms`: its last use, to the minute.
    """

    digest: str
    name: str
    role: str
    created_ms: int
    expires_ms: int | None
    sources: tuple[str, ...]
    prefixes: tuple[str, ...]
    by: str
    used_ms: int | None

    def expired(self, now_ms: int) -> bool:
        """Return whether its time is over. `now_ms`: the time by the store's clock."""
        return self.expires_ms is not None and self.expires_ms <= now_ms

    def as_json(self) -> dict[str, Any]:
        """Return the token as other programs see it, without its digest."""
        return {
            "name": self.name, "role": self.role, "created_at": iso(self.created_ms), "by": self.by,
            "expires_at": None if self.expires_ms is None else iso(self.expires_ms),
            "last_used_at": None if self.used_ms is None else iso(self.used_ms),
            "sources": list(self.sources), "prefixes": list(self.prefixes),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens that were looked up at `now_ms`. `count`: how many there are in all, expired ones among them."""

    now_ms: int
    count: int
    found: list[Token | Unreadable]

    def get(self, digest: str) -> Token | None:
        """Return the token with this digest, None if it was not found or cannot be read."""
        return next((one for one in self.found if isinstance(one, Token) and one.digest == digest), None)


class TokenStore:
    """Makes, reads and revokes tokens. Every method may raise StoreUnavailable and LedgerBroken.

    `by`, `why` and `door` go into the audit in the same step as the change.
    """

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def create(
        self, digest: str, record: dict[str, Any], *, lasts_s: float | None, by: str, why: str, door: str
    ) -> bool:
        """Keep a token. Return False when another one has its name; then nothing was changed.

        `record`: its fields `name`, `role`, and `sources` and `prefixes` where it has any. `lasts_s`: for how many
        seconds it is good; None for ever.
        """
        lasts_ms = "" if lasts_s is None else int(lasts_s * 1000)
        record = record | {"by": by}
        taken = await self._scripts.run("token", "create", digest, compact_json(record), lasts_ms, by, why, door)
        return not taken

    async def revoke(self, name: str, *, by: str, why: str, door: str) -> bool:
        """Delete the token of this name. Return False when there is none."""
        return bool(await self._scripts.run("token", "revoke", name, "", "", by, why, door))

    async def used(self, digest: str) -> None:
        """Note that the token is used now."""
        await self._scripts.run("token", "used", digest)

    async def look(self, digests: Sequence[str]) -> Tokens:
        """Return the tokens with these digests (at least one). Those that are not there are left out."""
        return _read(await self._scripts.run("tokens", *digests))

    async def all(self) -> Tokens:
        """Return every token. One that another program has damaged comes as Unreadable."""
        return _read(await self._scripts.run("tokens"))


def new_secret() -> str:
    """Return a secret that nobody has."""
    return SECRET_PREFIX + secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(secret: str) -> str:
    """Return what the ledger knows a secret by."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _read(reply: list[Any]) -> Tokens:
    now_ms, count, *flat = reply
    rows = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return Tokens(int(now_ms), count, [_token(*row) for row in rows])


def _token(digest: bytes, record: bytes, used: bytes) -> Token | Unreadable:
    """Read one token. Never raises: another program may have written anything there."""
    name = shown(digest)
    try:
        kept = json.loads(record)
        return Token(
            name, _text(kept["name"]), _text(kept["role"]), int(kept["created"]),
            None if kept.get("expires") is None else int(kept["expires"]),
            _texts(kept.get("sources")), _texts(kept.get("prefixes")), _text(kept.get("by", "")),
            int(used) if used.isdigit() else None,
        )  # fmt: skip
    except NOT_OURS:
        return Unreadable(name)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    """Return the texts of a list. A binding that cannot be read must bind, so it raises an error."""
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        raise TypeError("not a list")
    return tuple(map(_text, value))
