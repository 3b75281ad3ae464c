"""What the wire allows: loops that only call, without queue, ledger or retries."""
