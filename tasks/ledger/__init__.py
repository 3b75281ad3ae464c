"""The ledger keeps every closure in Redis or Valkey. No other room speaks to the store about closures."""
