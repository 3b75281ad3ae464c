"""Tells who sends a request: by its token; or, while there is no token at all, anybody on this machine."""

from __future__ import annotations

import math
from collections.abc import Mapping

from worker.operations.identify import Identify
from worker.operations.operator import Operator, Role
from worker.web.local import comes_from_outside
from worker.web.problems import Problem
from worker.web.rate import RateLimit
from worker.web.store_time import store_time

DOOR = "api"
ANYBODY = Operator("anybody on this machine", Role.ADMIN, DOOR)
_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="closer"'}


class Access:
    """Decides who a request is from. It holds no role: operations ask the guard who may do what."""

    def __init__(self, identify: Identify, limit: RateLimit, *, only_here: bool) -> None:
        """`only_here`: whether the console is reached from this machine alone."""
        self._identify = identify
        self._limit = limit
        self._only_here = only_here

    async def operator(self, headers: Mapping[str, str]) -> Operator:
        """Return who sends a request with these headers. Raises Problem and StoreUnavailable."""
        secret = _secret(headers)
        async with store_time():
            who = await self._identify(secret)
        if who.operator:
            self._within_limit(who.operator)
            return who.operator
        if secret or who.tokens or not self._only_here:
            detail = "the token is unknown, revoked or expired" if secret else "the request has no token"
            raise Problem("not-signed-in", detail, headers=_CHALLENGE)
        if why := comes_from_outside(headers):
            raise Problem("from-outside", f"there is no token yet, and this request may come from elsewhere: {why}")
        return ANYBODY

    def _within_limit(self, operator: Operator) -> None:
        if wait_s := self._limit.wait_s(operator.name):
            retry = {"Retry-After": str(math.ceil(wait_s))}
            raise Problem("too-many-requests", f"wait {wait_s:.2f} s", headers=retry)


def _secret(headers: Mapping[str, str]) -> str:
    """Return the token of a request, "" without one. Raises Problem for another kind of `Authorization`."""
    scheme, _, secret = headers.get("authorization", "").strip().partition(" ")
    if (scheme and scheme.lower() != "bearer") or (scheme and not secret.strip()):
        raise Problem("not-signed-in", "the header Authorization must be `Bearer TOKEN`", headers=_CHALLENGE)
    return secret.strip()
