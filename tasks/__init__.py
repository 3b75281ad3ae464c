"""Closing one shipment group: events, closures, attempts and the ledger. Nothing here knows the worker's process."""
