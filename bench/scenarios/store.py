"""What a closed closure takes up in the store."""

from __future__ import annotations

from collections.abc import Iterator

from bench.groups import references
from bench.lab import Lab
from bench.options import Options
from bench.report import Section, kilo
from bench.seed import closed, fill, lean, rich
from tests.support import key_of

_WARM = 1_000


def measure(lab: Lab, options: Options) -> Iterator[Section]:
    """The store's `used_memory` after many closures, less what it was after the first thousand."""
    rows = []
    for name, event in (("lean", lean), ("rich", rich)):
        lab.clear(0, 0.0)
        names = list(references(_WARM + options.many))
        fill(lab.store_url, names[:_WARM], event, closed)
        before = _used(lab)
        seconds = fill(lab.store_url, names[_WARM:], event, closed)
        after, done = _used(lab), lab.store.zcard(key_of("closed"))
        record = lab.store.strlen(key_of(f"c:{names[-1]}"))
        rows.append([name, kilo(done - _WARM), f"{(after - before) / options.many:.0f}", str(record), f"{seconds:.1f}"])
    yield Section(
        f"Store: bytes of a closed closure, {options.many:,} of them",
        [
            "The difference in `used_memory`, after the scripts and the first thousand are in. `lean`: an event with",
            "source, id and group. `rich`: with the customer's reference, time and traceparent as well. One attempt",
            "each. References are `sg_` and 32 digits.",
        ],
        ["events", "closed", "bytes each", "of which the record", "seconds to fill"],
        rows,
    )


def _used(lab: Lab) -> int:
    return int(lab.store.info("memory")["used_memory"])
