"""Makes, lists and revokes the tokens by which people and programs come through the console, the API and the door."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.ledger import tokens
from tasks.ledger.tokens import Tokens
from worker.operations.context import OperatorContext
from worker.operations.operator import EVERYTHING, NAME_LIMIT, Role, Scope, Verb
from worker.operations.refusal import Refused, Rule
from worker.operations.step import CouldNot, Step

_BOUND_MOST, _BOUND_LENGTH = 100, 512


@dataclass(frozen=True, slots=True)
class Wanted:
    """The token that somebody wants.

    `name`: who will come with it. `lasts_s`: for how many seconds it is good, None for ever. `scope`: what an emitter's
    events are bound to.
    """

    name: str
    role: Role
    lasts_s: float | None = None
    scope: Scope = EVERYTHING

    def check(self) -> None:
        """Raises Refused when it cannot be made."""
        if not 0 < len(self.name) <= NAME_LIMIT or not self.name.isprintable() or self.name != self.name.strip():
            text = f"{self.name!r} is not a name: it needs 1 to {NAME_LIMIT} characters, without blanks at its ends"
            raise Refused(Rule.NOT_A_NAME, text, name=self.name)
        bound = (*self.scope.sources, *self.scope.prefixes)
        if bound and self.role is not Role.EMITTER:
            raise Refused(Rule.BOUND_ROLE, f"only an emitter is bound to sources or prefixes, not {self.role}")
        if len(bound) > _BOUND_MOST or not all(0 < len(one) <= _BOUND_LENGTH and one.isprintable() for one in bound):
            text = f"at most {_BOUND_MOST} sources and prefixes of 1 to {_BOUND_LENGTH} characters can be given"
            raise Refused(Rule.BOUND_ROLE, text)

    def as_record(self) -> dict[str, Any]:
        """Return the fields that the ledger keeps."""
        record: dict[str, Any] = {"name": self.name, "role": self.role.value}
        bound = {"sources": list(self.scope.sources), "prefixes": list(self.scope.prefixes)}
        return record | {name: values for name, values in bound.items() if values}


async def create(context: OperatorContext, wanted: Wanted, *, why: str = "") -> str:
    """Make a token, and return its secret, which nothing can show again.

    Raises Refused, CouldNot when the name is taken, and StoreUnavailable.
    """
    context.guard(Verb.CREATE_TOKEN, why=why)
    wanted.check()
    secret, who = tokens.new_secret(), context.operator
    made = await context.ledger.tokens.create(
        tokens.digest_of(secret), wanted.as_record(), lasts_s=wanted.lasts_s, by=who.signature, why=why, door=who.door
    )
    if not made:
        raise CouldNot(f"there is a token called {wanted.name!r}: revoke it first", Step(Verb.LIST_TOKENS))
    return secret


async def list_all(context: OperatorContext) -> Tokens:
    """Return every token. Raises Refused and StoreUnavailable."""
    context.guard(Verb.LIST_TOKENS)
    return await context.ledger.tokens.all()


async def revoke(context: OperatorContext, name: str, *, why: str = "") -> None:
    """Delete the token of this name. The next request that comes with it is refused.

    Raises Refused, CouldNot when there is no such token, and StoreUnavailable.
    """
    context.guard(Verb.REVOKE_TOKEN, why=why)
    who = context.operator
    if not await context.ledger.tokens.revoke(name, by=who.signature, why=why, door=who.door):
        raise CouldNot(f"there is no token called {name!r}", Step(Verb.LIST_TOKENS))
