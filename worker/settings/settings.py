"""Puts the settings of all topics together, and reads and checks the variables `CLOSER_*` once, at start."""

from __future__ import annotations

import os
from typing import Any, Self

from pydantic import ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from tasks.errors import ConfigurationError
from worker.environment import BLANKS, PREFIX, bare, in_utf8, is_link, of_kubernetes
from worker.settings.addresses import check_api
from worker.settings.alerts import AlertSettings
from worker.settings.api import ApiSettings
from worker.settings.closing import ClosingSettings
from worker.settings.fleet import FleetSettings
from worker.settings.http import HttpSettings
from worker.settings.process import ProcessSettings
from worker.settings.store import StoreSettings

_SECRET = {"api_key", "redis_url", "broker_url", "alert_webhook_url", "alert_webhook_secret"}
_PATHS = {"data_dir"}  # the system knows files by bytes, whatever they mean in UTF-8
_SHARED = {"events_stream"}  # other programs have the name, too, perhaps with the blank at its end


# pydantic lists the fields of the last base first: so the README's table begins with the API.
class Settings(
    ProcessSettings, HttpSettings, AlertSettings, ClosingSettings, FleetSettings, StoreSettings, ApiSettings
):
    """All settings, with their defaults and allowed values.

    Two of them may contradict each other: the lease must be longer than a call takes, and the longest pause must not be
    shorter than the shortest. An empty variable counts as unset.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", env_ignore_empty=True)

    @model_validator(mode="before")
    @classmethod
    def _unset(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Leave out what is blank, and what Kubernetes has set: both count as unset."""
        return {name: value for name, value in given.items() if not _counts_as_unset(name, value)}

    @field_validator("*", mode="before")
    @classmethod
    def _as_meant(cls, value: Any, field: ValidationInfo) -> Any:
        if not isinstance(value, str):
            return value
        text = value if field.field_name in _PATHS else in_utf8(value)
        if field.field_name in _SHARED and text != text.strip(BLANKS):
            raise ValueError("begins or ends with a blank or a line break, so it is another name; write it without")
        return bare(text)

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
        check_api(self.api_base_url, allow_http=self.allow_http)
        return self

    @property
    def attempt_budget(self) -> float:
        """How long one attempt may take (s). That is more than one call takes, and it ends before the lease does."""
        return (self.request_timeout + self.lease) / 2


def load(**overrides: Any) -> Settings:
    """Read the settings from the environment. `overrides`: values that count instead of variables.

    Raises ConfigurationError that names every wrong variable and what it may be. It repeats no key and no address.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors(include_url=False)]
        raise ConfigurationError("wrong configuration:\n" + "\n".join(f"  {line}" for line in lines)) from None


def unknown_variables() -> list[str]:
    """Return the variables named CLOSER_* that are not settings. They are most likely misspelt."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= of_kubernetes(os.environ)
    return sorted(name for name in os.environ if name.upper().startswith(PREFIX) and name.upper() not in known)


def _counts_as_unset(name: str, value: Any) -> bool:
    return isinstance(value, str) and (not value.strip(BLANKS) or is_link(PREFIX + name.upper(), value))


def _explain(detail: Any) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    if not detail["loc"]:
        return message
    name = str(detail["loc"][0])
    value = str(detail["input"])
    given = "" if name in _SECRET or "://" in value else f" (it is {value[:80]!r})"
    return f"{PREFIX}{name.upper()}: {message[0].lower()}{message[1:]}{given}"
