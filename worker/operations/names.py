"""Looks up the names of the servers that closer talks to, all at once and for a limited time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from functools import partial

from worker.operations.aside import aside
from worker.operations.finding import Line
from worker.operations.reach import Place, unreachable

_WAIT_S = 3.0


async def without_address(places: Sequence[Place]) -> dict[str, list[Line]]:
    """Return what is wrong with each place whose host has no address, by the place's name.

    A client would find out, too, but not every client stops to wait for a name server that is away.
    """
    asked = [place for place in places if place.host]
    found = await asyncio.gather(*(_problem(place) for place in asked))
    return {line.name: [line] for line in found if line}


async def _problem(place: Place) -> Line | None:
    try:
        await aside(partial(socket.getaddrinfo, place.host, None), _WAIT_S)
    except TimeoutError:
        what = f"no name server told the address of {place.host} within {_WAIT_S:g} s"
        return place.wrong(what, "see that this machine's DNS works (/etc/resolv.conf)")
    except (OSError, UnicodeError) as error:
        return unreachable(place, error)
    return None
