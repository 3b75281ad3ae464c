"""Builds, runs and stops one worker process: its components, its background tasks and its signs of life."""
