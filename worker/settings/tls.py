"""TLS in an address: what its parameters mean, and whether the files that they name can be used."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
PARAMETERS = (*FILES, "ssl_cert_reqs", "ssl_check_hostname")
_VALUES = {"ssl_cert_reqs": ("required", "optional", "none"), "ssl_check_hostname": ("true", "false")}


@dataclass(frozen=True, slots=True)
class Tls:
    """How a TLS connection is made.

    `authorities`: a file with certificates of authorities, trusted beside the system's or those of SSL_CERT_FILE.
    `certificate` and `key`: files of a client certificate. `verify` and `check_host`: whether the server's certificate,
    and the host's name in it, are checked.
    """

    authorities: str | None = None
    certificate: str | None = None
    key: str | None = None
    verify: bool = True
    check_host: bool = True

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Tls:
        """Read the parameters `ssl_…` of an address. Raises ValueError for a wrong value, or a file of no use."""
        for name, values in _VALUES.items():
            if name in given and _plain(given[name]) not in values:
                raise ValueError(f"the parameter {name} must be one of {', '.join(values)}")
        verify = _plain(given.get("ssl_cert_reqs", "")) != "none"
        read = cls(
            authorities=given.get("ssl_ca_certs"),
            certificate=given.get("ssl_certfile"),
            key=given.get("ssl_keyfile"),
            verify=verify,
            check_host=verify and _plain(given.get("ssl_check_hostname", "")) != "false",
        )
        read._check_files()
        return read

    def _check_files(self) -> None:
        if self.key and not self.certificate:
            raise ValueError("the parameter ssl_keyfile needs ssl_certfile, which names the certificate of that key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.authorities:
            with _explained("ssl_ca_certs"):
                context.load_verify_locations(self.authorities)
        if self.certificate:
            with _explained("ssl_certfile and ssl_keyfile" if self.key else "ssl_certfile"):
                # Never the right password. Without one, OpenSSL would ask for it on the terminal and wait.
                context.load_cert_chain(self.certificate, self.key, password="?")  # noqa: S106


def _plain(value: str) -> str:
    """Return a value in the one form of both clients: redis-py says `none`, and Celery's documents say `CERT_NONE`."""
    return value.lower().removeprefix("cert_")


@contextmanager
def _explained(names: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:  # ssl.SSLError is one
        reason = getattr(error, "reason", None) or "not PEM, or a key with a password"
        reason = reason if isinstance(error, ssl.SSLError) else error.strerror
        raise ValueError(f"the certificates or keys that {names} names cannot be used ({reason})") from None
    except ValueError:
        raise ValueError(f"the certificates or keys that {names} names cannot be used (not a path)") from None
