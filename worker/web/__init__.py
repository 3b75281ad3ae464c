"""The console: one process that serves the API and the HTTP door. It calls operations, and holds no rule."""
