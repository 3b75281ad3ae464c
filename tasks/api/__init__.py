"""The Sorted API: its client, and its replies as values. Nothing here knows closures or the store."""
