"""Runs attempts: claims closures, calls the API, and writes the results into the ledger."""
