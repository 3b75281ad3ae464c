"""Reads a request's body. It is counted while it comes, and must come in time."""

from __future__ import annotations

import asyncio

from starlette.requests import ClientDisconnect, Request

from worker.web.problems import Problem

BODY_S = 10.0


async def read(request: Request, most: int) -> bytes:
    """Return the body. Raises Problem when it has more than `most` bytes, or does not come within ten seconds.

    What its length is said to be counts before anything of it is read.
    """
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    try:
        async with asyncio.timeout(BODY_S):
            return await _counted(request, most)
    except TimeoutError:
        raise Problem("too-slow", f"the body did not come within {BODY_S:g} s") from None
    except ClientDisconnect:
        raise Problem("too-slow", "the client has gone") from None


async def _counted(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise _too_large(most)
    return bytes(body)


def _too_large(most: int) -> Problem:
    return Problem("too-large", f"the body has more than {most} bytes")
