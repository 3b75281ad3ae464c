"""Doors through which events come in: each reads, has the ledger receive or reject, and only then acknowledges."""
