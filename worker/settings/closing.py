"""The settings of closing: how many calls are made, how often, and for how long."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_settings import BaseSettings

Seconds = Annotated[float, Field(gt=0, le=30 * 86_400)]


class ClosingSettings(BaseSettings):
    """Limits and pauses of attempts. Seconds may be fractions, up to 30 days."""

    concurrency: int = Field(100, ge=1, le=10_000, description="Close calls in flight in one process.")
    retry_base: Seconds = Field(5.0, description="The shortest pause before another attempt (s).")
    retry_cap: Seconds = Field(900.0, description="The longest pause before another attempt (s).")
    retry_deadline: Seconds = Field(86_400.0, description="How long a group is tried for, from its event (s).")
    close_delay: float = Field(
        0.0, ge=0, le=30 * 86_400, description="The least time between an event and the first attempt (s)."
    )
    lease: Seconds = Field(60.0, description="How long a worker may hold a closure (s); more than a call takes.")
    rate_limit: float = Field(0.0, ge=0, le=100_000, description="Close calls per second, all workers; 0: no limit.")
    retain_closed_days: float = Field(90.0, gt=0, le=36_500, description="How long closed closures are kept (days).")
    retain_rejected_days: float = Field(
        0.0, ge=0, le=36_500, description="How long rejected events are kept after they last came (days); 0: for ever."
    )
