"""Which group and which call goes wrong: by seed, in any order, as often as told."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from tests.simulator.support import DROPPED, HEADERS, LIMIT_S
from worker.simulator.faults import Faults, call_fault, group_fault, latency_s
from worker.simulator.server import Simulator

MIXED = Faults(
    unlocked=0.1, gone=0.1, processing_404=0.2, already_closed=0.1,
    error_500=0.2, cut_after=0.2, throttle_429=0.1,
)  # fmt: skip


async def fates(references: list[str], seed: int) -> dict[str, list[str]]:
    """What three closes of each group come to, groups called in the given order."""
    simulator = Simulator(seed=seed, faults=MIXED)
    base_url = await simulator.start()
    fate: dict[str, list[str]] = {reference: [] for reference in references}
    async with httpx.AsyncClient(base_url=base_url, headers=HEADERS, timeout=LIMIT_S) as client:
        for reference in references * 3:
            try:
                reply = await client.post(f"/shipment_groups/{reference}/close")
                fate[reference].append(str(reply.status_code))
            except DROPPED:
                fate[reference].append("dropped")
    await simulator.stop()
    assert max(record.effective_closes for record in simulator.records().values()) == 1
    return fate


async def test_a_run_can_be_repeated_by_its_seed_in_any_order() -> None:
    """The same seed gives each group the same fate whatever the order of calls; another seed does not."""
    references = [f"sg_{number:032d}" for number in range(40)]
    first = await fates(references, seed=1)
    assert await fates(references[::-1], seed=1) == first
    assert await fates(references, seed=2) != first


def test_rates_are_met_and_faults_are_exclusive() -> None:
    """Over many draws each rate is met within two points; rates of 1 always and of 0 never hit."""
    references = [f"sg_{number}" for number in range(5000)]
    groups = [group_fault(MIXED, 3, reference) for reference in references]
    calls = [call_fault(MIXED, 3, reference, 1) for reference in references]
    assert groups.count("processing_404") / 5000 == pytest.approx(0.2, abs=0.02)
    assert groups.count(None) / 5000 == pytest.approx(0.5, abs=0.02)
    assert calls.count("throttle_429") / 5000 == pytest.approx(0.1, abs=0.02)
    assert {call_fault(Faults(cut_after=1.0), 3, reference, 2) for reference in references} == {"cut_after"}
    assert {call_fault(Faults(), 3, reference, 2) for reference in references} == {None}


def test_latency_is_drawn_between_its_bounds() -> None:
    """Latency is the fixed part plus at most the jitter, and the same for the same call."""
    faults = Faults(latency_s=0.1, latency_jitter_s=0.2)
    drawn = [latency_s(faults, 1, "sg_1", call) for call in range(1, 200)]
    assert 0.1 <= min(drawn) < 0.12
    assert 0.28 < max(drawn) < 0.3
    assert drawn[0] == latency_s(faults, 1, "sg_1", 1)


@pytest.mark.parametrize(
    "wrong",
    [{"gone": 1.1}, {"gone": 0.6, "missing": 0.6}, {"latency_s": -1}, {"latency_s": "inf"}, {"typo": 1}],
)
def test_impossible_faults_are_refused(wrong: dict[str, Any]) -> None:
    """Rates outside 0..1 or adding up to more than 1, and unknown names, are errors."""
    with pytest.raises(ValidationError):
        Faults.model_validate(wrong)
