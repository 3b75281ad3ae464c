"""The settings of one process: who acts with it, and how it logs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class ProcessSettings(BaseSettings):
    """Who acts, and how log lines look."""

    operator: str | None = Field(None, max_length=100, description="Your name in the audit; unset: your login name.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="`debug`, `info`, `warning` or `error`."
    )
    metrics_port: int = Field(
        0, ge=0, le=65535, description="The port on which a worker serves its own metrics to Prometheus; 0: none."
    )
    log_format: Literal["text", "json"] = Field("text", description="Log lines as `text` or `json`.")
