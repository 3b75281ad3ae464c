"""`python -m bench.sender PORT CONNECTIONS SECONDS`: posts single events on bare sockets, and prints the rate.

Each connection sends the next event as soon as the last one is answered. An HTTP client of Python's takes more CPU than
the door, and would be measured instead.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from bench.lab import event


def request(reference: str, token: str) -> bytes:
    """One event in structured mode."""
    body = event(reference).encode()
    head = (
        "POST /v1/events HTTP/1.1\r\nhost: 127.0.0.1\r\n"
        f"authorization: Bearer {token}\r\ncontent-type: application/cloudevents+json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def connection(number: int, port: int, stop: float, times: list[float]) -> None:
    """Send on one connection until the time `stop`; adds the seconds of each answer."""
    token = os.environ["BENCH_TOKEN"]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sent = 0
    while (begun := time.monotonic()) < stop:
        writer.write(request(f"sg_{os.getpid()}_{number}_{sent}", token))
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
        if not head.startswith(b"http/1.1 202"):
            raise RuntimeError(head.decode())
        times.append(time.monotonic() - begun)
        sent += 1
    writer.close()


async def main(port: int, connections: int, seconds: float) -> None:
    """Send, and print how many events were taken a second, and how long an answer took (ms)."""
    times: list[float] = []
    begun = time.monotonic()
    await asyncio.gather(*(connection(number, port, begun + seconds, times) for number in range(connections)))
    took = time.monotonic() - begun
    times.sort()
    p50, p99 = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.99))
    print(json.dumps({"taken": len(times), "rate": len(times) / took, "p50": p50, "p99": p99}))


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
