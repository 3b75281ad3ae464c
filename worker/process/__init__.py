"""The running process: its background tasks, and how they wait."""
