"""The settings of the console: where it listens, and who may reach it."""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from worker.settings.address_parts import split


class HttpSettings(BaseSettings):
    """The HTTP door, the API and the pages of the console."""

    http_host: str = Field("127.0.0.1", min_length=1, max_length=253, description="Where the console listens.")
    http_port: int = Field(8080, ge=1, le=65_535, description="The port that the console listens on.")
    http_plain: bool = Field(
        False,
        description="Let the console listen beyond this machine without TLS: tokens travel in the clear.",
    )
    http_rate_limit: float = Field(
        3_000.0, ge=0, le=1_000_000, description="Requests a second that the console takes with one token; 0: no limit."
    )
    public_url: str | None = Field(
        None, description="The console's address as people see it, such as that of the TLS proxy before it."
    )

    @field_validator("public_url")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = split(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query:
            raise ValueError("must be https://HOST or https://HOST/PATH, without user and query")
        return url.rstrip("/")

    @property
    def behind_tls(self) -> bool:
        """Whether people reach the console by https."""
        return self.public_url is not None and urlsplit(self.public_url).scheme == "https"
