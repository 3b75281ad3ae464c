"""What a run may be told on the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """Sizes and loads; `latency_s` is the API's time for one call, `only` limits the systems by name.

    `tree` is another checkout, whose worker `profile` measures too.
    """

    groups: int = 5_000
    concurrency: tuple[int, ...] = (100, 300)
    latency_s: float = 0.1
    peers: bool = True
    only: tuple[str, ...] = ()
    many: int = 100_000
    seconds: float = 20.0
    tree: Path | None = None
