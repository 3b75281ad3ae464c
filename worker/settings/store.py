"""The settings of the store and the broker."""

from __future__ import annotations

import hashlib
import os
import tempfile
from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings

from tasks.api.address import public_address
from tasks.errors import ConfigurationError
from worker.data_dir import default as default_data_dir
from worker.data_dir import is_known, whole
from worker.settings.addresses import broker_address, store_address
from worker.settings.amqp_address import AmqpAddress
from worker.settings.redis_address import RedisAddress

_SOCKET_PATH_MAX = 100  # sockaddr_un holds 108 bytes on Linux, 104 on macOS


class StoreSettings(BaseSettings):
    """Where closures and task messages are kept; each address is checked before anything connects."""

    redis_url: SecretStr | None = Field(
        None, description="The store, `redis://`, `rediss://` or `unix://`; unset: the embedded one."
    )
    broker_url: SecretStr | None = Field(
        None, description="Celery's broker: as the store, or `amqp://`, `amqps://`; unset: the store."
    )
    data_dir: Path = Field(default_factory=default_data_dir, description="Files of the embedded store.")

    @field_validator("redis_url")
    @classmethod
    def _names_a_store(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            store_address(url.get_secret_value())
        return url

    @field_validator("data_dir")
    @classmethod
    def _has_a_home(cls, folder: Path) -> Path:
        # With a store elsewhere nothing need be written at home, so only `known_data_dir` refuses an unknown one.
        return folder if folder == default_data_dir() else whole(folder)

    @field_validator("broker_url")
    @classmethod
    def _names_a_broker(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            broker_address(url.get_secret_value())
        return url

    @property
    def embedded(self) -> bool:
        """Whether the store is the embedded one."""
        return self.redis_url is None

    @property
    def known_data_dir(self) -> Path:
        """The data directory. Raises ConfigurationError when it would be in a home directory that nobody knows."""
        if not is_known(self.data_dir):
            raise ConfigurationError(
                f"CLOSER_DATA_DIR is not set, and user {os.getuid()} has no home directory (HOME is not set, and "
                "/etc/passwd does not name the user); set it to a folder that this user can write to, or set "
                "CLOSER_REDIS_URL to a store elsewhere"
            )
        return self.data_dir

    @property
    def socket_path(self) -> Path:
        """The socket of the embedded store. Every command finds it by the data directory alone.

        Raises ConfigurationError, as `known_data_dir`.
        """
        path = self.known_data_dir.resolve() / "store.sock"
        if _fits(path):
            return path
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        short = Path(f"closer-{os.getuid()}-{digest}", "store.sock")
        near = Path(tempfile.gettempdir()) / short
        return near if _fits(near) else Path("/tmp") / short  # noqa: S108  (private, see embedded)

    @property
    def socket_is_elsewhere(self) -> bool:
        """Whether the embedded store's socket is among temporary files: the data directory's name is too long."""
        return self.embedded and self.socket_path.parent != self.known_data_dir.resolve()

    @cached_property
    def store(self) -> RedisAddress:
        """Where the store is; its repr does not hold its password."""
        if self.redis_url is None:
            return RedisAddress(socket=str(self.socket_path))
        return store_address(self.redis_url.get_secret_value())

    @cached_property
    def broker(self) -> RedisAddress | AmqpAddress:
        """Where Celery's broker is: the store, unless another one is named."""
        return broker_address(self.broker_url.get_secret_value()) if self.broker_url else self.store

    @property
    def public_store_address(self) -> str:
        """The store's address for people to read."""
        if self.redis_url is None:
            return f"unix://{self.socket_path}"
        return public_address(self.redis_url.get_secret_value())

    @property
    def public_broker_address(self) -> str:
        """The broker's address for people to read."""
        return public_address(self.broker_url.get_secret_value()) if self.broker_url else self.public_store_address


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= _SOCKET_PATH_MAX
