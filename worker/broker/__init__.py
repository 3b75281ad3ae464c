"""Celery and its brokers: settings, transports and consumers that no foreign message can stop."""
