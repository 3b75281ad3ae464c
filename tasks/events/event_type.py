"""Decides which types of events say that a group is complete, and which cancel that."""

from __future__ import annotations

import glob
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import lru_cache

# The type of events that `closer publish` sends. It is always accepted, because somebody asked for exactly this group.
OWN_TYPE = "closer.group.complete"
_COMPLETE = frozenset({"complete", "completed"})
# Words that deny what follows, wherever they stand before it: `not.yet.complete`, `failed.to.complete`.
DENIALS = frozenset({
    "not", "never", "cannot", "isn", "wasn", "hasn", "yet", "failed", "unable", "partial", "partially", "partly",
    "almost", "nearly",
})  # fmt: skip
# Words that deny it only directly before it, because elsewhere they mean other things: `to.be.completed`.
_DENIALS_BEFORE = frozenset({"non", "un", "in", "to", "be"})
_VERSION = re.compile(r"v?\d+\Z")


@dataclass(frozen=True, slots=True)
class EventTypes:
    """The types that are accepted.

    `patterns`: a type is accepted if one of them matches it; without patterns, if `says_complete` accepts it. A pattern
    is a type, or a glob over the whole type (`*`, `?`, `[…]`); case counts. `further`: types that an operator accepts,
    too. `cancelling`: patterns of types that cancel. They win over all others.
    """

    patterns: tuple[str, ...] = ()
    further: tuple[str, ...] = ()  # types that an operator accepts beside these
    cancelling: tuple[str, ...] = ()

    @classmethod
    def of(cls, text: str) -> EventTypes:
        """Read patterns with commas between them. Raises ValueError when there is none."""
        return cls(_patterns(text))

    def with_cancelling(self, text: str) -> EventTypes:
        """Return these types, and patterns of types that cancel. Raises ValueError as `of`."""
        return replace(self, cancelling=_patterns(text))

    def cancels(self, event_type: str) -> bool:
        """Return whether an event of this type cancels. Our own type never does: somebody asked for just this group."""
        return event_type != OWN_TYPE and any(fnmatchcase(event_type, pattern) for pattern in self.cancelling)

    def takes(self, event_type: str) -> bool:
        """Return whether an event of this type is not rejected for its type: it says complete, or it cancels."""
        return self.cancels(event_type) or self.accept(event_type)

    def accept(self, event_type: str) -> bool:
        """Return whether an event of this type says that a group is complete."""
        if self.cancels(event_type):
            return False
        if event_type == OWN_TYPE or event_type in self.further:
            return True
        if not self.patterns:
            return says_complete(event_type)
        return any(fnmatchcase(event_type, pattern) for pattern in self.patterns)

    def also(self, event_type: str) -> EventTypes:
        """Return these types with one more."""
        return replace(self, further=(*self.further, event_type))

    def problem(self, event_type: str) -> str:
        """Return why this type is not accepted, and what to do if it means complete."""
        if self.patterns:
            return f'type: "{event_type}" is not in CLOSER_EVENT_TYPES; if it means complete, name it there, too'
        return f'type: "{event_type}" is not taken for complete; if it means complete, name it in CLOSER_EVENT_TYPES'

    def setting(self, event_type: str, seen: Iterable[str] = ()) -> str:
        """Return the variable, ready for a shell, with which this type is accepted from now on.

        `seen`: types that have come. Without patterns so far, those of them that are accepted now are named, too, so
        that setting the variable refuses none of them.
        """
        kept = self.patterns or tuple(pattern(one) for one in seen if one != OWN_TYPE and self.accept(one))
        return "CLOSER_EVENT_TYPES=" + shlex.quote(",".join([*kept, pattern(event_type)]))


def _patterns(text: str) -> tuple[str, ...]:
    patterns = tuple(part.strip() for part in text.split(",") if part.strip())
    if not patterns:
        raise ValueError("names no type; write types with commas between them, or unset it")
    return patterns


@lru_cache(maxsize=1024)
def says_complete(event_type: str) -> bool:
    """Return whether a type's last word is complete or completed, and no word before it denies that.

    A version or the word `event` at the end does not count. `group.complete.v1` says so; `group.partially-completed`
    does not.
    """
    found = [word.lower() for word in words(event_type)]
    while found and (found[-1] == "event" or _VERSION.match(found[-1])):
        found.pop()
    if not found or found[-1] not in _COMPLETE:
        return False
    before = found[:-1]
    return DENIALS.isdisjoint(before) and _DENIALS_BEFORE.isdisjoint(before[-1:])


def words(event_type: str) -> Iterator[str]:
    """Yield the words of a type. It is split where a character is not a letter or digit, and where the case changes."""
    word = ""
    for before, char, after in zip(" " + event_type, event_type, event_type[1:] + " ", strict=False):
        if word and (not char.isalnum() or _begins(before, char, after)):
            yield word
            word = ""
        if char.isalnum():
            word += char
    if word:
        yield word


def pattern(event_type: str) -> str:
    """Return a pattern that matches this type.

    Commas and blanks cannot stand in the setting, so the pattern has `?` in their place, which matches any character.
    """
    return re.sub(r"[,\s]", "?", glob.escape(event_type))


def _begins(before: str, char: str, after: str) -> bool:
    return char.isupper() and (not before.isupper() or after.islower())
