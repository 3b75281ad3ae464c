"""The ledger: every closure, in Redis or Valkey; the only room that speaks to the store about closures."""
