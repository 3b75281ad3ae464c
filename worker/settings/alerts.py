"""The settings of alerts: where they are sent, and the secret that signs them."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

_PREFIX = "whsec_"


class AlertSettings(BaseSettings):
    """Where alerts go. The address may hold a token, as those of Slack and Teams do, so it is a secret, too."""

    alert_webhook_url: SecretStr | None = Field(
        None, description="Where alerts are sent by POST, `http://` or `https://`; unset: nowhere."
    )
    alert_webhook_secret: SecretStr | None = Field(
        None, description="Signs alerts as Standard Webhooks, `whsec_…`; unset: they are not signed."
    )

    @field_validator("alert_webhook_url")
    @classmethod
    def _is_a_webhook(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            text = url.get_secret_value()
            parts = urlsplit(text)
            if (
                parts.scheme not in ("http", "https")
                or not parts.hostname
                or not all("!" <= char <= "~" for char in text)
            ):
                raise ValueError("is not an http:// or https:// address")
        return url

    @field_validator("alert_webhook_secret")
    @classmethod
    def _signs_alerts(cls, secret: SecretStr | None) -> SecretStr | None:
        if secret is not None:
            signing_key(secret)
        return secret


def signing_key(secret: SecretStr) -> bytes:
    """Return the key in a secret of Standard Webhooks (`whsec_` and base64). Raises ValueError without the secret."""
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if not text.startswith(_PREFIX) or not 24 <= len(key) <= 64:
        raise ValueError("needs whsec_ and the base64 of 24 to 64 bytes: echo whsec_$(openssl rand -base64 32)")
    return key
