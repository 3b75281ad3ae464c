"""Counts and times one worker's attempts for Prometheus. The fleet's own numbers are in `worker.operations.metrics`."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

import prometheus_client
from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector

from tasks.api.reply import Reply
from tasks.attempted import Attempted, Called, CallName, Written
from tasks.retry import Done

CLASSES = ("2xx", "304", "4xx", "5xx", "none")  # `none`: no reply, or one that HTTP does not allow to a call of ours
# The upper ends of the buckets (s); the library adds one without an end.
_CALL_S = (0.1, 0.3, 1.0, 3.0, 10.0)
_WAY_S = (1.0, 10.0, 60.0, 600.0, 3600.0, 86400.0)
_STEP_S = (0.01, 0.1, 1.0, 10.0)


class WorkerMetrics:
    """Observes a worker's attempts. No label has a value that comes from outside, so the number of series is fixed."""

    def __init__(self) -> None:
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # they would double the series, and nothing reads them
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        Gauge("closer_build_info", "Always 1.", ["version"], registry=self.registry).labels(version("closer")).set(1)
        self._in_flight = Gauge("closer_in_flight", "Attempts that are being made.", registry=self.registry)
        calls = Histogram(
            "closer_api_request_duration_seconds", "How long calls to the API took.", ["call", "class"],
            buckets=_CALL_S, registry=self.registry,
        )  # fmt: skip
        self._calls = {(name, kind): calls.labels(name.value, kind) for name in CallName for kind in CLASSES}
        self._closed = self._histogram(
            "closer_event_to_closed_seconds", "From the first event of a group until it was closed.", _WAY_S
        )
        self._dispatch = self._histogram(
            "closer_dispatch_seconds", "How long groups were named in a task message before they were claimed.", _STEP_S
        )
        self._settle = self._histogram(
            "closer_settle_seconds", "How long results of attempts waited until they were written.", _STEP_S
        )

    def watch(self, in_flight: Callable[[], int]) -> None:
        """Ask `in_flight` for the number of attempts at each scrape, from another thread."""
        self._in_flight.set_function(in_flight)

    def observe(self, attempted: Attempted) -> None:
        """Take note of one attempt, see `Observer`."""
        claim = attempted.claim
        for call in attempted.calls:
            self._calls[call.name, _class(call)].observe(call.took_s)
        if claim.sent_ms is not None:
            self._dispatch.observe(claim.sent_ms / 1000)
        self._settle.observe(attempted.waited_s)
        if isinstance(attempted.decision, Done) and attempted.written is Written.SETTLED and claim.received_ms:
            self._closed.observe((claim.at_ms - claim.received_ms) / 1000 + _since_claim_s(attempted))

    def _histogram(self, name: str, words: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, words, buckets=buckets, registry=self.registry)


def _since_claim_s(attempted: Attempted) -> float:
    """Return the time from the claim until the result was written (s), by this machine's clock."""
    return attempted.claim.wait_s + attempted.took_s + attempted.waited_s


def _class(call: Called) -> str:
    if not isinstance(call.reply, Reply):
        return "none"
    status = call.reply.status
    if status == 304:
        return "304"
    kind = f"{status // 100}xx"
    return kind if kind in CLASSES else "none"
