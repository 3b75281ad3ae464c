"""What one worker knows of whether it may call the API. The ledger says so with every answer that could change it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr

_log = logging.getLogger("closer.permission")
_NAME_LENGTH = 8
_STALE_MS = 5000  # an answer that seems older is not late; the store's clock was set back


@dataclass(slots=True)
class Permission:
    """This worker's permission to call. Times are ms since the epoch, by the store's clock.

    `key`: the name of this worker's API key, see `key_name`; empty before the worker knows the ledger's identity.
    `stop_ms`: claims made up to then must not be called any more; 0: all may be.
    `suspended_ms`: since when the API has refused the key; 0: it does not refuse it.
    `tell` is called with whether this worker may take task messages: with False whenever the ledger says that the key
    is suspended, and with True when that is over.
    """

    key: str = ""
    stop_ms: int = 0
    suspended_ms: int = 0
    tell: Callable[[bool], None] = lambda _: None
    _heard_ms: int = 0

    @property
    def suspended(self) -> bool:
        """Whether the API refuses this worker's key. The worker then takes no messages and only probes now and then."""
        return self.suspended_ms > 0

    def allows(self, claimed_ms: int) -> bool:
        """Return whether a claim made at that time may still be called."""
        return claimed_ms > self.stop_ms

    def hear(self, at_ms: int, stop_ms: int, suspended_ms: int) -> None:
        """Note what the ledger said at `at_ms`. It is ignored when a later answer has come before it."""
        if self._heard_ms - _STALE_MS < at_ms < self._heard_ms:
            return
        concerned = self.suspended
        self._heard_ms, self.stop_ms, self.suspended_ms = at_ms, stop_ms, suspended_ms
        if concerned or self.suspended:
            self.tell(not self.suspended)
        if concerned != self.suspended:
            self._say()

    def _say(self) -> None:
        """Log that the key was suspended, or that the suspension has ended."""
        if not self.suspended:
            _log.warning("the API accepts the key %s again; this worker goes on", self.key)
            return
        _log.critical(
            "the API refuses the key %s of this worker: it gives back what it has claimed, takes no task messages, and "
            "asks again now and then. Set CLOSER_API_KEY to a key that the API accepts, and restart this worker; or "
            "have the key's permission restored. All workers that have this key are named by: closer status",
            self.key,
        )


def key_name(ledger_id: str, key: SecretStr) -> str:
    """Return a short name of an API key: 8 hex digits of SHA-256, salted with the ledger's id to hide the key."""
    salted = f"{ledger_id}\n{key.get_secret_value()}".encode()
    return hashlib.sha256(salted).hexdigest()[:_NAME_LENGTH]
