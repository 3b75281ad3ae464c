"""What is not an event, as `reject.lua` keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from tasks.events.batch import Element
from tasks.events.event import Rejection

Arguments = list[str | bytes]


def rejected(body: bytes, rejection: Rejection, origin: str, once: str = "") -> Arguments:
    """The arguments for one rejection; of those with the same `once` only the first is kept."""
    return [body, json.dumps(rejection.problems), origin, rejection.refused_type or "", once]


def rejected_once(elements: Iterable[Element]) -> Arguments:
    """The arguments for those that are rejections; each is known by its identity and its bytes."""
    arguments: Arguments = []
    for element in elements:
        if isinstance(element.event, Rejection):
            digest = hashlib.sha1(element.body, usedforsecurity=False).hexdigest()
            arguments += rejected(element.body, element.event, element.identity, f"{element.identity} {digest}")
    return arguments
