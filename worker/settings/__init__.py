"""The settings, which are the environment variables `CLOSER_*`."""

from worker.settings.settings import PREFIX, Settings, load, unknown_variables

__all__ = ["PREFIX", "Settings", "load", "unknown_variables"]
