"""The settings, which are the environment variables `CLOSER_*`."""

from worker.environment import PREFIX
from worker.settings.settings import Settings, load, unknown_variables

__all__ = ["PREFIX", "Settings", "load", "unknown_variables"]
