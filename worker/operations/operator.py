"""Decides who may do what: the table of verbs and roles, and the one guard that every operation asks before it begins.

Doors (the command line, later the console and the API) hold no rule of safety. They say who the operator is, and put a
refusal into their own words.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from tasks.closure import State
from worker.operations.refusal import Refused, Rule

NAME_LIMIT = 100  # so many characters of a name are kept in the audit


class Role(StrEnum):
    """What somebody is trusted with.

    EMITTER: to publish events. VIEWER: to look. OPERATOR: to look and to act. ADMIN: everything. The command line is
    always ADMIN, because whoever reaches the store can do everything anyway.
    """

    EMITTER = "emitter"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


class Verb(StrEnum):
    """Everything that an operator can ask for. The audit keeps these words."""

    PUBLISH = "publish"
    STATUS = "status"
    LIST = "list"
    SHOW = "show"
    FOLLOW = "follow"
    REJECTED = "rejected"
    AUDIT = "audit"
    CHECK = "check"
    ACTIONS = "actions"
    REQUEUE = "requeue"
    DISCARD = "discard"
    VERIFY = "verify"
    HOLD = "hold"
    RELEASE = "release"
    STOP_ACTION = "stop action"
    RESUME_ACTION = "resume action"
    RECALL = "recall"
    PAUSE = "pause"
    RESUME = "resume"
    OVERRIDE = "override"
    REPLAY = "replay"
    ACCEPT_TYPE = "accept type"
    USE_SUBJECT = "use subject"
    DISCARD_REJECTED = "discard rejected"
    EXPORT_REJECTED = "export rejected"
    SHORTEN_AUDIT = "shorten audit"
    MOVE_API = "move-api"
    CREATE_TOKEN = "create token"  # noqa: S105
    LIST_TOKENS = "list tokens"
    REVOKE_TOKEN = "revoke token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Scope:
    """What an emitter is bound to: events of these sources, about groups whose references begin with these prefixes.

    Without sources any source will do, and without prefixes any reference.
    """

    sources: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()

    def covers(self, source: str, reference: str) -> bool:
        """Return whether an event of this source may close the group with this reference."""
        return (not self.sources or source in self.sources) and (
            not self.prefixes or reference.startswith(self.prefixes)
        )


EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class Operator:
    """Who acts. `name`: a person or a program. `door`: through which door (`cli`, `console`, `api`).

    `scope`: what an emitter is bound to.
    """

    name: str
    role: Role
    door: str
    scope: Scope = EVERYTHING

    @property
    def signature(self) -> str:
        """The name as the audit keeps it: without blanks at its ends, at most 100 characters."""
        return self.name.strip()[:NAME_LIMIT]


@dataclass(frozen=True, slots=True)
class Permission:
    """Who may do one thing, and under which conditions.

    `roles`: who may. `changes`: whether it changes anything, so that the audit needs a name. `why_needed`: the operator
    must give a reason. `chosen`: the operator must say which closures or rejected events, never all. `states`: only
    closures in these states are acted upon. `unknown`: so are groups that the ledger does not know. `most`: how many
    one action may act upon, unless an admin does it. `confirm_over`: above this number the operator must repeat the
    count, unless an admin does it.
    """

    roles: frozenset[Role]
    changes: bool = True
    why_needed: bool = False
    chosen: bool = False
    states: frozenset[State] = frozenset()
    unknown: bool = False
    most: int | None = None
    confirm_over: int | None = None


_ADMINS = frozenset({Role.ADMIN})
_OPERATORS = _ADMINS | {Role.OPERATOR}
_VIEWERS = _OPERATORS | {Role.VIEWER}
_EMITTERS = _ADMINS | {Role.EMITTER}
_FAILED = frozenset({State.FAILED})
_HOLDABLE = frozenset({State.QUEUED, State.CLOSING, State.RETRYING, State.FAILED, State.HELD})
_LOOK = Permission(_VIEWERS, changes=False)

PERMISSIONS: dict[Verb, Permission] = {
    Verb.PUBLISH: Permission(_EMITTERS, changes=False),
    Verb.STATUS: _LOOK,
    Verb.LIST: _LOOK,
    Verb.SHOW: _LOOK,
    Verb.FOLLOW: Permission(_EMITTERS, changes=False),
    Verb.REJECTED: _LOOK,
    Verb.AUDIT: _LOOK,
    Verb.CHECK: _LOOK,
    Verb.ACTIONS: _LOOK,
    Verb.REQUEUE: Permission(_OPERATORS, chosen=True, states=_FAILED, confirm_over=1000),
    Verb.DISCARD: Permission(_OPERATORS, chosen=True, states=_FAILED, why_needed=True, most=20),
    Verb.VERIFY: Permission(_OPERATORS, chosen=True, states=frozenset(State)),
    Verb.HOLD: Permission(_OPERATORS, chosen=True, states=_HOLDABLE, unknown=True, why_needed=True),
    Verb.RELEASE: Permission(
        _OPERATORS, chosen=True, states=frozenset({State.HELD, State.CLOSING}), why_needed=True, confirm_over=1000
    ),
    Verb.STOP_ACTION: Permission(_OPERATORS),
    Verb.RESUME_ACTION: Permission(_OPERATORS),
    Verb.RECALL: Permission(_OPERATORS),
    Verb.PAUSE: Permission(_OPERATORS),
    Verb.RESUME: Permission(_OPERATORS),
    Verb.OVERRIDE: Permission(_ADMINS, why_needed=True),
    Verb.REPLAY: Permission(_OPERATORS, chosen=True),
    Verb.ACCEPT_TYPE: Permission(_ADMINS, chosen=True),
    Verb.USE_SUBJECT: Permission(_ADMINS, chosen=True),
    Verb.DISCARD_REJECTED: Permission(_OPERATORS, chosen=True, why_needed=True, most=20),
    Verb.EXPORT_REJECTED: Permission(_OPERATORS),
    Verb.SHORTEN_AUDIT: Permission(_ADMINS, why_needed=True),
    Verb.MOVE_API: Permission(_ADMINS, why_needed=True),
    Verb.CREATE_TOKEN: Permission(_ADMINS),
    Verb.LIST_TOKENS: Permission(_ADMINS, changes=False),
    Verb.REVOKE_TOKEN: Permission(_ADMINS),
}


class Chosen(Protocol):
    """What an operator has chosen: closures or rejected events, before or after they were looked up."""

    @property
    def everything(self) -> bool:
        """Whether the operator gave no condition at all."""

    @property
    def size(self) -> int | None:
        """How many would be acted upon; None before they were looked up."""

    def check(self) -> None:
        """Raises Refused when the choice itself breaks a rule."""


def guard(
    operator: Operator, verb: Verb, selection: Chosen | None = None, why: str = "", *, confirmed: int | None = None
) -> None:
    """Return if the operator may do this; raise Refused, which names the rule, if not.

    `selection`: what was chosen. `why`: the operator's reason. `confirmed`: the count that the operator has repeated.
    If closures are looked up first, call it twice: with what was chosen before, and with what was found after.
    """
    permission = PERMISSIONS[verb]
    if operator.role not in permission.roles:
        needed = " or ".join(role for role in Role if role in permission.roles)
        text = f"{operator.signature or 'nobody'} is {operator.role}, and to {verb} takes {needed}"
        raise Refused(Rule.NOT_PERMITTED, text, verb=verb, role=operator.role, needed=needed)
    if permission.changes and not operator.signature:
        raise Refused(Rule.NAMELESS, "nobody knows who you are: say your name, for the audit")
    if selection is not None:
        selection.check()
    if permission.chosen and (selection is None or selection.everything):
        raise Refused(Rule.EVERYTHING, f"to {verb} everything at once is refused: say which", verb=verb)
    if permission.why_needed and not why.strip():
        raise Refused(Rule.WHY_NEEDED, f"to {verb} takes a reason, for the audit: tell why", verb=verb)
    if operator.role is not Role.ADMIN and selection is not None and selection.size is not None:
        _guard_size(verb, selection.size, confirmed)


def _guard_size(verb: Verb, size: int, confirmed: int | None) -> None:
    permission = PERMISSIONS[verb]
    if permission.most is not None and size > permission.most:
        text = f"these are {size:,}, and an operator may {verb} {permission.most} at once: ask an admin"
        raise Refused(Rule.TOO_MANY, text, verb=verb, size=size, most=permission.most)
    if permission.confirm_over is not None and size > permission.confirm_over and confirmed != size:
        text = f"these are {size:,}: repeat the count to {verb} so many"
        raise Refused(Rule.COUNT_NOT_CONFIRMED, text, verb=verb, size=size)
