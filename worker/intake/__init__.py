"""Takes events in. Each way in reads events, has the ledger receive or reject them, and only then acknowledges them."""
