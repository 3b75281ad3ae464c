"""`python -m bench.peers.enqueue MODULE N`: put N messages on a peer's queue, by the peer's own means."""

from __future__ import annotations

import importlib
import sys

if __name__ == "__main__":
    importlib.import_module(sys.argv[1]).enqueue(int(sys.argv[2]))
