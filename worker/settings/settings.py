"""The settings: environment variables `CLOSER_*`, read and checked once, at start."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from tasks.api.address import ESCAPES, is_readable, public_address, several
from tasks.api.loopback import is_loopback
from tasks.errors import ConfigurationError
from tasks.events.event_type import EventTypes
from tasks.namespace import DEFAULT_NAMESPACE, NAMESPACE_PATTERN, Namespace

PREFIX = "CLOSER_"
_SOCKET_PATH_MAX = 100  # sockaddr_un holds 108 bytes on Linux, 104 on macOS
_SECRET = {"api_key", "redis_url", "broker_url"}
_AMQPS_PARAMETERS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")

Seconds = Annotated[float, Field(gt=0, le=30 * 86_400)]


def _default_data_dir() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "closer"


class Settings(BaseSettings):
    """All settings, with their defaults and allowed values."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", env_ignore_empty=True)

    api_base_url: str = Field("https://api.sorted.com/pro", description="Where the Sorted API is.")
    api_key: SecretStr | None = Field(None, description="The key sent as `x-api-key`; needed by workers.")
    api_version: str = Field("1.1", pattern=r"^[0-9A-Za-z._-]{1,20}$", description="Sent as `x-api-version`.")
    redis_url: SecretStr | None = Field(
        None, description="The store, `redis://`, `rediss://` or `unix://`; unset: the embedded one."
    )
    broker_url: SecretStr | None = Field(None, description="Celery's broker; unset: the store.")
    data_dir: Path = Field(default_factory=_default_data_dir, description="Files of the embedded store.")
    concurrency: int = Field(100, ge=1, le=10_000, description="Close calls in flight in one process.")
    request_timeout: Annotated[float, Field(gt=0, le=600)] = Field(
        15.0, description="Total time of one call to the API (s)."
    )
    retry_base: Seconds = Field(5.0, description="The shortest pause before another attempt (s).")
    retry_cap: Seconds = Field(900.0, description="The longest pause before another attempt (s).")
    retry_deadline: Seconds = Field(86_400.0, description="How long a group is tried for, from its event (s).")
    lease: Seconds = Field(60.0, description="How long a worker may hold a closure (s); more than a call takes.")
    rate_limit: float = Field(0.0, ge=0, le=100_000, description="Close calls per second, all workers; 0: no limit.")
    lock_before_close: Literal["never", "if-needed"] = Field(
        "never", description="Lock a group that is open, then close it? `never` or `if-needed`."
    )
    namespace: str = Field(
        DEFAULT_NAMESPACE.name,
        description="The fleet's name; one store carries several fleets.",
    )
    events_stream: str = Field(
        DEFAULT_NAMESPACE.stream,
        min_length=1,
        max_length=200,
        description="The Redis stream that events come on.",
    )
    event_types: str | None = Field(
        None,
        max_length=10_000,
        description="Event types that mean complete, with commas, `*` for any text; unset: by the last word.",
    )
    retain_closed_days: float = Field(90.0, gt=0, le=36_500, description="How long closed closures are kept (days).")
    allow_http: bool = Field(False, description="Allow an API address without TLS that is not this machine.")
    operator: str | None = Field(None, max_length=100, description="Your name in the audit; unset: your login name.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="`debug`, `info`, `warning` or `error`."
    )
    log_format: Literal["text", "json"] = Field("text", description="Log lines as `text` or `json`.")

    @field_validator("api_key")
    @classmethod
    def _header_safe(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not all("!" <= char <= "~" for char in key.get_secret_value()):
            raise ValueError("holds a space, a line break or another character that cannot stand in a header")
        return key

    @field_validator("namespace")
    @classmethod
    def _names_a_fleet(cls, name: str) -> str:
        if not re.match(NAMESPACE_PATTERN, name):
            raise ValueError("needs 1 to 64 characters of A-Z a-z 0-9 _ - .")
        return name

    @field_validator("event_types")
    @classmethod
    def _names_types(cls, text: str | None) -> str | None:
        if text is not None:
            EventTypes.of(text)
        return text

    @field_validator("redis_url")
    @classmethod
    def _store_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        checked = _readable(_with_scheme(url, "redis", "rediss", "unix"))
        if checked is not None:
            _check_redis(checked.get_secret_value())
        return checked

    @field_validator("data_dir")
    @classmethod
    def _has_a_home(cls, folder: Path) -> Path:
        try:
            return folder.expanduser()
        except RuntimeError:
            raise ValueError("the home directory that ~ stands for is not known: set it to a whole path") from None

    @field_validator("broker_url")
    @classmethod
    def _broker_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        checked = _readable(_with_scheme(url, "redis", "rediss", "redis+socket", "amqp", "amqps", "sentinel"))
        address = checked.get_secret_value() if checked else ""
        if len(address.split(";")) > len(several(address)):
            raise ValueError("`;` stands between addresses only; write it as %3B in a user or password")
        if address.startswith("amqps"):
            _check_amqps(address)
        return checked

    @model_validator(mode="after")
    def _stream_of_the_fleet(self) -> Self:
        if "events_stream" not in self.model_fields_set:
            self.events_stream = self.fleet.stream
        return self

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.lease <= self.request_timeout:
            raise ValueError(
                f"CLOSER_LEASE ({self.lease:g} s) must be more than CLOSER_REQUEST_TIMEOUT ({self.request_timeout:g} s)"
                ", or a call could outlive its lease and be made twice"
            )
        if self.retry_cap < self.retry_base:
            raise ValueError(
                f"CLOSER_RETRY_CAP ({self.retry_cap:g} s) must not be less than "
                f"CLOSER_RETRY_BASE ({self.retry_base:g} s)"
            )
        _check_api(self.api_base_url, self.allow_http)
        return self

    @property
    def fleet(self) -> Namespace:
        """How the fleet's keys, stream, consumer group and queues are called."""
        return Namespace(self.namespace)

    @property
    def embedded(self) -> bool:
        """Whether the store is the embedded one."""
        return self.redis_url is None

    @property
    def socket_path(self) -> Path:
        """Where the embedded store listens; every command finds it by the data directory alone."""
        path = self.data_dir.expanduser().resolve() / "store.sock"
        if _fits(path):
            return path
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        short = Path(f"closer-{os.getuid()}-{digest}", "store.sock")
        near = Path(tempfile.gettempdir()) / short
        return near if _fits(near) else Path("/tmp") / short  # noqa: S108  (private, see embedded)

    @property
    def socket_is_elsewhere(self) -> bool:
        """Whether the embedded store listens among temporary files: the data directory's name may be too long."""
        return self.embedded and self.socket_path.parent != self.data_dir.expanduser().resolve()

    @property
    def store_url(self) -> str:
        """The store's address, with its password: never print it."""
        return self.redis_url.get_secret_value() if self.redis_url else f"unix://{self.socket_path}"

    @property
    def celery_broker_url(self) -> str:
        """The broker's address as Celery writes it, with its password: never print it."""
        if self.broker_url:
            return self.broker_url.get_secret_value()
        # To Celery a `;` begins another address; in the store's it can only be a part of the password.
        url = self.store_url.replace(";", "%3B")
        return "redis+socket" + url.removeprefix("unix") if url.startswith("unix") else url

    @property
    def public_store_address(self) -> str:
        """The store's address for people to read."""
        return self.store_url if self.embedded else public_address(self.store_url)

    @property
    def accepted_types(self) -> EventTypes:
        """Which types of events say that a group is complete."""
        return EventTypes.of(self.event_types) if self.event_types else EventTypes()

    @property
    def attempt_budget(self) -> float:
        """What one attempt may take (s): time for more than one call, and an end before the lease's."""
        return (self.request_timeout + self.lease) / 2

    def need_api_key(self) -> SecretStr:
        """The API key. Raises ConfigurationError when it is not set."""
        if self.api_key is None:
            raise ConfigurationError("CLOSER_API_KEY is not set: it is the key that the Sorted API knows you by")
        return self.api_key


def load(**overrides: Any) -> Settings:
    """Read the settings. Raises ConfigurationError that names every wrong variable and what it may be."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors(include_url=False)]
        raise ConfigurationError("wrong configuration:\n" + "\n".join(f"  {line}" for line in lines)) from None


def unknown_variables() -> list[str]:
    """Variables named CLOSER_* that mean nothing: most likely misspelt."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _SOCKET_PATH_MAX


def _explain(detail: Any) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    if not detail["loc"]:
        return message
    name = str(detail["loc"][0])
    value = str(detail["input"])
    given = "" if name in _SECRET or "://" in value else f" (it is {value[:80]!r})"
    return f"{PREFIX}{name.upper()}: {message[0].lower()}{message[1:]}{given}"


def _with_scheme(url: SecretStr | None, *schemes: str) -> SecretStr | None:
    if url is not None and url.get_secret_value().partition("://")[0] not in schemes:
        raise ValueError(f"must begin with one of {', '.join(f'{scheme}://' for scheme in schemes)}")
    return url


def _readable(url: SecretStr | None) -> SecretStr | None:
    """Refuses an address that the clients would read otherwise than meant, and whose parts they would print."""
    for each in several(url.get_secret_value()) if url else ():
        rest = each.partition("://")[2]
        misplaced = "@" in rest and not rest.startswith("/") and not is_readable(each)  # a `/` begins a socket's path
        if misplaced or _has_no_port(each):
            raise ValueError(f"its host and port cannot be read; in its user and password write {ESCAPES}")
    return url


def _check_redis(url: str) -> None:
    from worker.settings.url_check import check_redis

    check_redis(url)


def _check_amqps(url: str) -> None:
    if ";" in url:
        raise ValueError("with amqps:// it is one address: the certificate is checked against one host's name")
    for name, _ in parse_qsl(urlsplit(url).query):
        if name.startswith("ssl_") and name not in _AMQPS_PARAMETERS:
            raise ValueError(f"of TLS, amqps:// knows only the parameters {', '.join(_AMQPS_PARAMETERS)}")


def _check_api(url: str, allow_http: bool) -> None:
    host = _plain_host(url)
    if host is None:
        raise ValueError("CLOSER_API_BASE_URL must be https://HOST/PATH, without user, query, fragment and blanks")
    if urlsplit(url).scheme == "http" and not allow_http and not is_loopback(host):
        raise ValueError(
            "CLOSER_API_BASE_URL must be https:// (the key would travel in the clear); to allow it all the same, "
            "set CLOSER_ALLOW_HTTP=1"
        )


def _plain_host(url: str) -> str | None:
    """The host of an address of the API; None when it is none that calls can be made to."""
    if _has_no_port(url) or not all("!" <= char <= "~" for char in url):
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return parts.hostname


def _has_no_port(url: str) -> bool:
    """Whether the host and port cannot be read (`[::1`, `host:99999`)."""
    try:
        urlsplit(url).port  # noqa: B018 - it is reading it that raises
    except ValueError:
        return True
    return False
