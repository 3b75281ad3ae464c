"""From an event to its closed group under light load: what closer adds to the API's own time."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

from bench.groups import references
from bench.lab import STREAM, Lab, event, publish, until
from bench.options import Options
from bench.report import Section, percentile
from tests.support import key_of

_RATE = 20.0
_WARM = 20
_WAIT_S = 60.0


def measure(lab: Lab, options: Options) -> Iterator[Section]:
    """Events at random moments, about 20 a second; the first few, while the worker warms up, do not count."""
    lab.clear(0, options.latency_s)
    names = list(references(_WARM + int(_RATE * options.seconds)))
    with lab.closer():
        publish(lab.store, iter(names[:_WARM]))
        until(lambda: lab.store.zcard(key_of("closed")) == _WARM, "the first groups closed", _WAIT_S)
        sent = _send(lab, names[_WARM:])
        until(lambda: lab.store.zcard(key_of("closed")) == len(names), "all groups closed", _WAIT_S)
        entered: Any = lab.store.zrange(key_of("closed"), 0, -1, withscores=True)
    settled: dict[str, float] = {reference.decode(): at_ms for reference, at_ms in entered}
    closes = {close.reference: close for close in lab.api.report().closes}
    api_ms = {name: (closes[name].effective - closes[name].arrived) * 1000 for name in sent}
    columns = {
        "event to call": [(closes[name].arrived - at) * 1000 for name, (at, _) in sent.items()],
        "event to closed, less the API's time": [
            (closes[name].effective - at) * 1000 - api_ms[name] for name, (at, _) in sent.items()
        ],
        "event to settled, less the API's time": [
            settled[name] - stored_ms - api_ms[name] for name, (_, stored_ms) in sent.items()
        ],
        "the API's time": list(api_ms.values()),
    }
    yield Section(
        f"Latency under light load: {len(sent):,} events, {_RATE:g} a second, {options.latency_s * 1000:g} ms",
        [
            "One worker as it ships, 100 in flight allowed. The clock starts before XADD and stops when the close",
            "takes effect at the API; `settled` is from the entry's time to the ledger's, both by the store's clock,",
            "to the ms. Events come at random (exponential pauses). All times in ms.",
        ],
        ["", "p50", "p95", "p99", "max"],
        [
            [name, *(f"{percentile(values, share):.1f}" for share in (0.5, 0.95, 0.99, 1.0))]
            for name, values in columns.items()
        ],
    )


def _send(lab: Lab, names: list[str]) -> dict[str, tuple[float, float]]:
    """When each event was sent (s, monotonic) and what the store's clock said (ms)."""
    dice = random.Random(1)
    sent = {}
    due = time.monotonic()
    for name in names:
        due += dice.expovariate(_RATE)
        time.sleep(max(0.0, due - time.monotonic()))
        at = time.monotonic()
        entry = lab.store.xadd(STREAM, {"event": event(name)})
        assert isinstance(entry, bytes)
        sent[name] = (at, float(entry.partition(b"-")[0]))
    return sent
