"""The demo: closer at work on this machine, against the simulated API."""
