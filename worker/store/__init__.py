"""The store: connections to it, and the embedded server."""
