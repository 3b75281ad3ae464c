"""The attempts in flight: claimed, called, and their results written into the ledger."""
