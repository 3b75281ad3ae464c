"""Replaces the secrets of the environment by `***` in everything that this process writes.

closer itself never puts a secret into a text. But the clients of the store, the broker and the API quote addresses in
their errors, whole or in parts, and tracebacks quote those errors.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from urllib.parse import parse_qsl, quote, unquote

from tasks.api.address import is_readable, several
from worker.environment import BLANKS, in_utf8

HIDDEN = "***"
_SHORTEST = 4  # a shorter secret would match parts of ordinary words
_WHOLE = re.compile(r"CLOSER_\w*(KEY|SECRET|PASSWORD|TOKEN)", re.IGNORECASE)
_OURS = re.compile(r"(CLOSER|CELERY)_\w+", re.IGNORECASE)
_PROXY = re.compile(r"\w+_PROXY", re.IGNORECASE)
_SECRET_PARAMETER = re.compile("pass|secret|token", re.IGNORECASE)
_SEPARATORS = re.compile(r"[/?#@:;&=\[\]]")


class Redaction:
    """Replaces the secrets of an environment in a text."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        """`environ`: variables by name. The key, and passwords in addresses of closer and of proxies, are secret."""
        forms = {form for secret in _secrets(environ) for form in _forms(secret)}
        self._forms = sorted((form for form in forms if len(form) >= _SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """Return the text with `***` in place of each secret."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, HIDDEN)
        return text


class RedactingFormatter(logging.Formatter):
    """Formats a record with another formatter, then removes the secrets."""

    def __init__(self, inner: logging.Formatter, redact: Redaction) -> None:
        super().__init__()
        self._inner = inner
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the other formatter's line without the secrets."""
        return self._redact(self._inner.format(record))


def redact(text: object) -> str:
    """Return the text without the secrets of this process's environment."""
    return Redaction(os.environ)(str(text))


def _secrets(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in ((name, value) for name, given in environ.items() for value in _readings(given)):
        if _WHOLE.fullmatch(name):
            yield value
        elif _PROXY.fullmatch(name) or (_OURS.fullmatch(name) and "://" in value):
            for address in several(value) if is_readable(value) else [value]:
                yield from _passwords(address)


def _readings(given: str) -> set[str]:
    """Return the value without blanks at its ends, as the settings read it: by this locale, and in UTF-8."""
    with suppress(ValueError):
        return {given.strip(BLANKS), in_utf8(given).strip(BLANKS)}
    return {given.strip(BLANKS)}


def _passwords(address: str) -> Iterator[str]:
    """Yield every part of an address that may be a password, however the address is read."""
    rest = address.partition("://")[2] or address
    if "@" in rest or rest.startswith(":"):
        password = (rest.rpartition("@")[0] or rest).partition(":")[2]
        yield password
        yield from _SEPARATORS.split(password)
    for name, value in parse_qsl(rest.partition("?")[2]):
        if _SECRET_PARAMETER.search(name):
            yield value


def _forms(secret: str) -> Iterable[str]:
    """Return the forms in which a text may hold it: plain, with %XX, in lower case as hosts are, or escaped."""
    plain = unquote(secret)
    forms = {secret, plain, quote(plain, safe="", errors="surrogateescape"), *_SEPARATORS.split(plain)}
    forms |= {form.lower() for form in forms}
    return forms | {json.dumps(form)[1:-1] for form in forms} | {repr(form)[1:-1] for form in forms}
