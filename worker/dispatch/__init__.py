"""Sends what is due from the ledger to the broker, in task messages."""
