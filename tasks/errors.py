"""The errors that closer raises itself.

CloserError                 every one of them; its text is written for the operator
├── ConfigurationError      a setting is missing or wrong                          (exit code 2)
└── StoreUnavailable        the ledger's store did not do what it was asked        (exit code 1)
"""


class CloserError(Exception):
    """Base of all errors raised on purpose; `str()` says what is wrong and what to do next."""


class ConfigurationError(CloserError):
    """A setting is missing or wrong."""


class StoreUnavailable(CloserError):
    """The store is away, full, read-only, loading, or too slow: worth trying again later."""
