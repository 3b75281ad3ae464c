"""The settings of the Sorted API: its address, its key, and how it is called."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from tasks.errors import ConfigurationError


class ApiSettings(BaseSettings):
    """Where the API is, and how it is called. The address is checked with all other settings, see `Settings`."""

    api_base_url: str = Field("https://api.sorted.com/pro", description="Where the Sorted API is.")
    api_key: SecretStr | None = Field(None, description="The key sent as `x-api-key`; needed by workers.")
    api_version: str = Field("1.1", pattern=r"^[0-9A-Za-z._-]{1,20}$", description="Sent as `x-api-version`.")
    request_timeout: Annotated[float, Field(gt=0, le=600)] = Field(
        15.0, description="Total time of one call to the API (s)."
    )
    lock_before_close: Literal["never", "if-needed"] = Field(
        "never", description="Lock a group that is open, then close it? `never` or `if-needed`."
    )
    allow_http: bool = Field(False, description="Allow an API address without TLS that is not this machine.")

    @field_validator("api_key")
    @classmethod
    def _header_safe(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not all("!" <= char <= "~" for char in key.get_secret_value()):
            raise ValueError("holds a space, a line break or another character that cannot stand in a header")
        return key

    def need_api_key(self) -> SecretStr:
        """Return the API key. Raises ConfigurationError when it is not set."""
        if self.api_key is None:
            raise ConfigurationError("CLOSER_API_KEY is not set: it is the key that the Sorted API knows you by")
        return self.api_key
