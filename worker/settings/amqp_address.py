"""The address of RabbitMQ, or a list of addresses of its nodes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlunsplit

from tasks.api.address import several
from worker.settings.address_parts import parameters, split
from worker.settings.tls import FILES, Tls

SCHEMES = ("amqp", "amqps")
_ALLOWED = {
    "heartbeat": (re.compile(r"[0-9]{1,5}"), "a number of seconds"),
    "login_method": (re.compile(r"PLAIN|AMQPLAIN|EXTERNAL"), "one of PLAIN, AMQPLAIN, EXTERNAL"),
    "failover_strategy": (re.compile(r"round-robin|shuffle"), "one of round-robin, shuffle"),
}


@dataclass(frozen=True, slots=True)
class AmqpAddress:
    """Where RabbitMQ is. `url`: for Celery, with the password, without parameters of TLS. `tls`: None without TLS."""

    url: str = field(repr=False)
    tls: Tls | None = None

    @classmethod
    def parse(cls, url: str) -> AmqpAddress:
        """Read an address with one of SCHEMES, or several with `;` between them.

        Raises ValueError that says what is wrong and what to write instead; it repeats no value.
        """
        each = several(url)
        if len(url.split(";")) > len(each):
            raise ValueError("`;` stands between addresses only; write it as %3B in a user or password")
        if len(each) > 1 and not all(one.startswith("amqp://") for one in each):
            raise ValueError(
                "in a list each address must be amqp://; with amqps:// it is one address, because the certificate is "
                "checked against one host's name"
            )
        read = [_one(one) for one in each]
        return cls(";".join(one.url for one in read), read[0].tls)


def _one(url: str) -> AmqpAddress:
    parts = split(url)
    with_tls = parts.scheme == "amqps"
    given = parameters(parts.query, (*_ALLOWED, *(FILES if with_tls else ())), _instead)
    for name, (allowed, words) in _ALLOWED.items():
        if name in given and not allowed.fullmatch(given[name]):
            raise ValueError(f"the parameter {name} must be {words}")
    files = {name: value for name, value in given.items() if name in FILES}
    return AmqpAddress(_without(FILES, parts), Tls.of(files) if with_tls else None)


def _without(names: tuple[str, ...], parts: SplitResult) -> str:
    rest = [word for word in parts.query.split("&") if word.partition("=")[0] not in names]
    return urlunsplit(parts._replace(query="&".join(rest)))


def _instead(name: str) -> str:
    if name in ("ssl", "tls") or name in FILES:
        return "for TLS write amqps:// in place of amqp://, or leave it out"
    if name.startswith("ssl_"):
        return f"of TLS, amqps:// knows only the parameters {', '.join(FILES)}"
    return f"leave it out; known are {', '.join(_ALLOWED)}"
