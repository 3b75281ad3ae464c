"""The settings of the store and the broker."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from tasks.api.address import public_address, several
from worker.settings.addresses import check_amqps, check_store, readable, with_scheme

_SOCKET_PATH_MAX = 100  # sockaddr_un holds 108 bytes on Linux, 104 on macOS


def _default_data_dir() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or "~/.local/share") / "closer"


class StoreSettings(BaseSettings):
    """Where closures and task messages are kept; each address is checked before anything connects."""

    redis_url: SecretStr | None = Field(
        None, description="The store, `redis://`, `rediss://` or `unix://`; unset: the embedded one."
    )
    broker_url: SecretStr | None = Field(None, description="Celery's broker; unset: the store.")
    data_dir: Path = Field(default_factory=_default_data_dir, description="Files of the embedded store.")

    @field_validator("redis_url")
    @classmethod
    def _store_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        checked = readable(with_scheme(url, "redis", "rediss", "unix"))
        if checked is not None:
            check_store(checked.get_secret_value())
        return checked

    @field_validator("data_dir")
    @classmethod
    def _has_a_home(cls, folder: Path) -> Path:
        try:
            return folder.expanduser()
        except RuntimeError:
            raise ValueError("the home directory that ~ stands for is not known: set it to a whole path") from None

    @field_validator("broker_url")
    @classmethod
    def _broker_scheme(cls, url: SecretStr | None) -> SecretStr | None:
        checked = readable(with_scheme(url, "redis", "rediss", "redis+socket", "amqp", "amqps", "sentinel"))
        address = checked.get_secret_value() if checked else ""
        if len(address.split(";")) > len(several(address)):
            raise ValueError("`;` stands between addresses only; write it as %3B in a user or password")
        if address.startswith("amqps"):
            check_amqps(address)
        return checked

    @property
    def embedded(self) -> bool:
        """Whether the store is the embedded one."""
        return self.redis_url is None

    @property
    def socket_path(self) -> Path:
        """The socket of the embedded store. Every command finds it by the data directory alone."""
        path = self.data_dir.expanduser().resolve() / "store.sock"
        if _fits(path):
            return path
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        short = Path(f"closer-{os.getuid()}-{digest}", "store.sock")
        near = Path(tempfile.gettempdir()) / short
        return near if _fits(near) else Path("/tmp") / short  # noqa: S108  (private, see embedded)

    @property
    def socket_is_elsewhere(self) -> bool:
        """Whether the embedded store's socket is among temporary files: the data directory's name is too long."""
        return self.embedded and self.socket_path.parent != self.data_dir.expanduser().resolve()

    @property
    def store_url(self) -> str:
        """The store's address with its password. Never print it."""
        return self.redis_url.get_secret_value() if self.redis_url else f"unix://{self.socket_path}"

    @property
    def celery_broker_url(self) -> str:
        """The broker's address as Celery writes it, with its password. Never print it."""
        if self.broker_url:
            return self.broker_url.get_secret_value()
        # To Celery a `;` begins another address; in the store's it can only be a part of the password.
        url = self.store_url.replace(";", "%3B")
        return "redis+socket" + url.removeprefix("unix") if url.startswith("unix") else url

    @property
    def public_store_address(self) -> str:
        """The store's address for people to read."""
        return self.store_url if self.embedded else public_address(self.store_url)


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _SOCKET_PATH_MAX
