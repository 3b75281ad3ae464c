"""The background tasks of a worker: each ends as its own entry says, wherever it stands in the list."""

from __future__ import annotations

import asyncio

import pytest

from worker.process.supervisor import End, Part, Supervisor


class Work:
    """Work that goes on until it is cancelled, or is told to finish."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.finish = asyncio.Event()

    async def go_on(self, name: str) -> None:
        """Until the end."""
        try:
            await self.finish.wait()
            self.told.append(f"{name} finished")
        except asyncio.CancelledError:
            self.told.append(f"{name} cancelled")
            raise

    def part(self, name: str, end: End) -> Part:
        """As a part."""
        return Part(name, self.go_on(name), end)


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("end", End)
async def test_a_part_that_is_added_anywhere(place: int, end: End) -> None:
    """Another part, at any place of the list, changes nothing in how the others end."""
    work = Work()
    parts = [
        work.part("settler", End.LAST),
        work.part("intake", End.FINISHES),
        work.part("sweep", End.FINISHES),
        work.part("heartbeat", End.CANCELLED),
    ]
    parts.insert(place, work.part("another", end))
    supervisor = Supervisor(parts)
    await asyncio.sleep(0)
    supervisor.cancel(End.CANCELLED)
    finished = asyncio.create_task(supervisor.finished())
    await asyncio.wait([finished], timeout=0)
    assert not finished.done()
    cancelled = {"heartbeat cancelled"} | ({"another cancelled"} if end is End.CANCELLED else set())
    assert set(work.told) == cancelled
    supervisor.cancel(End.LAST)
    work.finish.set()
    async with asyncio.timeout(5):
        await finished
    assert {"intake finished", "sweep finished", "settler cancelled"} <= set(work.told)


async def test_a_part_that_ends_is_told() -> None:
    """The part that ends first is returned by its name; None when the process was told to stop before."""
    work = Work()
    supervisor = Supervisor([work.part("settler", End.LAST), Part("broken", asyncio.sleep(0), End.CANCELLED)])
    ended = await supervisor.first_to_end(asyncio.Event())
    assert ended is not None
    assert ended.get_name() == "broken"
    stop = asyncio.Event()
    stop.set()
    assert await Supervisor([work.part("settler", End.LAST)]).first_to_end(stop) is None
    work.finish.set()


async def test_two_parts_of_one_name() -> None:
    """Names are unique: a part that took another's place would never be stopped."""
    work = Work()
    with pytest.raises(ValueError, match="two parts are called intake"):
        Supervisor([work.part("intake", End.FINISHES), work.part("intake", End.CANCELLED)])
    work.finish.set()
    await asyncio.sleep(0)
