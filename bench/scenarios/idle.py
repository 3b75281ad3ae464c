"""What a worker costs that has nothing to do, without and with many retries that are not due yet."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bench.groups import references
from bench.lab import Lab
from bench.measure import usage
from bench.options import Options
from bench.report import Section, kilo, mebi
from bench.seed import fill, lean, parked
from tests.support import key_of

_CALM_S = 6.0  # a beat has passed, imports and first connections are over


def idle(lab: Lab, options: Options) -> Iterator[Section]:
    """Nothing in the store."""
    lab.clear(0, 0.0)
    yield _watch(lab, options, 0)


def with_parked(lab: Lab, options: Options) -> Iterator[Section]:
    """Many retries that are due in an hour."""
    lab.clear(0, 0.0)
    fill(lab.store_url, list(references(options.many)), lean, parked)
    yield _watch(lab, options, lab.store.zcard(key_of("retrying")))


def _watch(lab: Lab, options: Options, retries: int) -> Section:
    with lab.closer() as pid:
        time.sleep(_CALM_S)
        worker, store, started = usage(pid), usage(lab.store_pid), time.monotonic()
        time.sleep(options.seconds)
        worker_later, store_later, seconds = usage(pid), usage(lab.store_pid), time.monotonic() - started
    shares = [
        (later.cpu_s - before.cpu_s) / seconds for before, later in ((worker, worker_later), (store, store_later))
    ]
    calls = lab.api.report().calls
    return Section(
        f"An idle worker, {retries:,} retries parked",
        [f"Over {seconds:.0f} s, in percent of one core; the kernel counts in steps of 10 ms."],
        ["parked retries", "worker CPU", "store CPU", "worker RSS MiB", "calls made"],
        [[kilo(retries), *(f"{share * 100:.2f} %" for share in shares), mebi(worker_later.rss), str(calls)]],
    )
