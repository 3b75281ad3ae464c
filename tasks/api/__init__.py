"""The Sorted API: its client, and its replies as values."""
