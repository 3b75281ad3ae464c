"""Runs blocking work beside the event loop, for a limited time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


async def aside(work: Callable[[], T], seconds: float) -> T:
    """Return what `work` returns, or raise what it raises; raise TimeoutError after so many seconds.

    Work that does not end, such as a question to a name server that is away, holds up neither the loop nor the end of
    the process: its thread is a daemon, unlike those of `asyncio.to_thread`.
    """
    done: Future[T] = Future()
    done.set_running_or_notify_cancel()  # so that a result that comes too late may still be set

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # the one who waits is to see it, whatever it is
            done.set_exception(error)

    threading.Thread(target=run, name="aside", daemon=True).start()
    return await asyncio.wait_for(asyncio.wrap_future(done), seconds)
