"""The simulated API as benchmarks use it: calls take a fixed time, closes are remembered. A process of its own.

It is told what to do by lines on its standard input and answers on its standard output. So nothing has to ask it
again and again while it is measured:
  `reset N SECONDS`  forget everything; N groups will be closed, each call takes so long
  `report FILE`      write what happened as JSON
It says `first` when the first call arrives, and `done` when N groups have been closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from http import HTTPStatus
from pathlib import Path

from worker.simulator.groups import Groups
from worker.simulator.script import Answer, Call, Own, Reply
from worker.simulator.server import Simulator


class Tally:
    """A script that counts calls and closes. Times are seconds of the monotonic clock, which all processes share."""

    def __init__(self, expected: int = 0, latency_s: float = 0.0, connections_before: int = 0) -> None:
        self.expected = expected
        self.latency_s = latency_s
        self.connections_before = connections_before
        self.arrived: dict[str, float] = {}
        self.closed: dict[str, float] = {}
        self.calls = 0

    async def __call__(self, call: Call, own: Own) -> Answer:
        """Note when the call came and when it closed its group; the reply is the simulator's own."""
        self.calls += 1
        self.arrived.setdefault(call.reference, call.at)
        if self.calls == 1:
            say("first")
        await asyncio.sleep(self.latency_s)
        answer = await own()
        if call.endpoint == "close" and isinstance(answer, Reply) and answer.status == HTTPStatus.OK:
            self.closed[call.reference] = asyncio.get_running_loop().time()
            if len(self.closed) == self.expected:
                say("done")
        return answer

    def as_json(self, connections: int) -> str:
        """Everything, for the process that measures."""
        closes = {ref: [self.arrived[ref], at] for ref, at in self.closed.items()}
        count = connections - self.connections_before
        return json.dumps({"calls": self.calls, "connections": count, "closes": closes})


def say(word: str) -> None:
    """One word on a line, at once."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


class Bench:
    """The simulator, and the tally of the run that is measured now."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.simulator = Simulator(script=self.tally)

    def obey(self, line: str) -> None:
        """Do what a line on the standard input says."""
        verb, *arguments = line.split(maxsplit=2)
        if verb == "reset":
            self.tally = Tally(int(arguments[0]), float(arguments[1]), self.simulator.connections)
            self.simulator.groups, self.simulator.script = Groups(), self.tally
        elif verb == "report":
            Path(arguments[0]).write_text(self.tally.as_json(self.simulator.connections))
        say(verb)


async def _main() -> None:
    bench = Bench()
    say(await bench.simulator.start())
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():  # ends with the process that measures: its end of the pipe closes
        bench.obey(line.decode().rstrip())


if __name__ == "__main__":
    asyncio.run(_main())
