"""The errors that closer raises itself.

CloserError                 every one of them; its text says what is wrong, and a door adds the command that helps
├── ConfigurationError      a setting is missing or wrong                          (exit code 2)
│   ├── ForeignApi          the ledger is for another API than the settings name
│   └── NewerLedger         a newer closer has worked with the ledger
├── StoreUnavailable        the store cannot do now what it was asked; later it may (exit code 1)
│   ├── OlderWorkers        workers of an older closer run; they must stop first
│   └── DamagedStore        a file of the embedded store is damaged, and what can be read follows the damage
└── LedgerBroken            the store answered, and a script of the ledger failed  (exit code 1)
"""


class CloserError(Exception):
    """Base of all errors raised on purpose; `str()` says what is wrong.

    No text names a command: the log and the command line add it, see `worker.observe.error_words`.
    """


class ConfigurationError(CloserError):
    """A setting is missing or wrong. Trying again does not help, so the process ends with exit code 2."""


class ForeignApi(ConfigurationError):
    """The ledger is for another API than the settings name.

    Its closures are groups there. Calls to this API could close groups that only have the same references.
    """

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
    """The store is away, full, read-only, loading, or too slow. The same step may succeed later, so callers wait."""


class OlderWorkers(StoreUnavailable):
    """Workers of an older closer are alive, so this one waits until they have stopped.

    They would not respect what this one writes, and would call the API while this one keeps the gate shut.
    """

    def __init__(self, names: list[str]) -> None:
        """`names`: the names of the older workers."""
        super().__init__(
            f"{', '.join(map(repr, names))} of an older closer must stop first: it would call the API while this one "
            "keeps the gate shut. Stop it (SIGTERM); one that was killed counts for a minute"
        )


class DamagedStore(StoreUnavailable):
    """A file of the embedded store is damaged in the middle: only a person may decide to lose what follows."""


class LedgerBroken(CloserError):
    """The store answered, and a script of the ledger failed.

    The cause is an argument, a key of another kind, or the script itself; `tasks.ledger.sift` finds out which item it
    is. A script fails before its first write, so nothing is half-done and a repeat counts nothing twice.
    """


class NotTaken(Exception):
    """A batch of a task message cannot be taken in now, because the process stops or has no room in time.

    The message must go back into the queue. This is not a fault, so operators are not told of it.
    """
