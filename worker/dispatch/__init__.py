"""From the ledger to the broker: what is due goes out in task messages."""
