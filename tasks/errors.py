"""The errors that closer raises itself.

CloserError                 every one of them; its text says what is wrong, and a door adds the command that helps
├── ConfigurationError      a setting is missing or wrong                          (exit code 2)
│   ├── ForeignApi          the ledger is for another API than the settings name
│   └── NewerLedger         a newer closer has worked with the ledger
├── StoreUnavailable        the store cannot do now what it was asked; later it may (exit code 1)
│   └── OlderWorkers        workers of an older closer run; they must stop first
└── LedgerBroken            the store answered, and a script of the ledger failed  (exit code 1)
"""


class CloserError(Exception):
    """Base of all errors raised on purpose; `str()` says what is wrong.

    No text names a command: the log and the command line add it, see `worker.observe.error_words`.
    """


class ConfigurationError(CloserError):
    """A setting is missing or wrong."""


class ForeignApi(ConfigurationError):
    """The ledger's closures are groups at another API: calling this one for them would close the wrong groups."""

    def __init__(self, ledgers: str, ours: str) -> None:
        """`ledgers`, `ours`: the two addresses, see `tasks.api.address.api_address`."""
        self.ledgers = ledgers if ledgers.isprintable() else ascii(ledgers)
        self.ours = ours
        super().__init__(
            f"this ledger is for the API at {self.ledgers}, but CLOSER_API_BASE_URL is {ours}: its groups are not there"
        )


class NewerLedger(ConfigurationError):
    """A newer closer has worked with the ledger, and this one would not respect what it wrote."""

    def __init__(self, ledgers: int, ours: int) -> None:
        """`ledgers`: the version of the ledger. `ours`: the latest one that this program knows."""
        super().__init__(
            f"the ledger in this store has version {ledgers}, and this closer knows versions up to {ours}: a newer "
            "closer has worked with it, and this one would not respect what that wrote. Nothing was changed"
        )


class StoreUnavailable(CloserError):
    """The store is away, full, read-only, loading, or too slow. It is worth trying again later."""


class OlderWorkers(StoreUnavailable):
    """Workers of an older closer are alive that would not respect what this one writes: it waits until they stop."""

    def __init__(self, names: list[str]) -> None:
        """`names`: theirs."""
        super().__init__(
            f"{', '.join(map(repr, names))} of an older closer must stop first: it would call the API while this one "
            "keeps the gate shut. Stop it (SIGTERM); one that was killed counts for a minute"
        )


class LedgerBroken(CloserError):
    """The store answered, and a script failed: a key holds something else, an argument is wrong, or the script is.

    A script fails before its first write, so nothing is half-done and a repeat counts nothing twice. The cause is what
    the script was given, or what the store holds: `tasks.ledger.sift` finds out which.
    """


class NotTaken(Exception):
    """A batch of a task message cannot be taken in now: the process stops, or has no room in time.

    Its message must stay in the queue. It is no fault, and no operator reads of it.
    """
