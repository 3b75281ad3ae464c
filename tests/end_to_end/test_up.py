"""`closer up` on one machine: its store goes down last, and a damaged file of it is told and mended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from tests.end_to_end.fleet import SETTINGS, all_ended
from tests.support import CLOSER, count, environment, key_of, publish, run, until
from worker.settings import Settings
from worker.simulator.faults import Faults
from worker.simulator.server import Simulator, run_in_thread

END_S = 60.0
BROKEN = b"$not a length\r\n"


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine with an embedded store, and the simulated API."""

    folder: Path
    api: str
    simulator: Simulator

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    @property
    def commands(self) -> Path:
        """The store's file that grows."""
        return self.data / "appendonlydir" / "appendonly.aof.1.incr.aof"

    def store(self) -> redis.Redis:
        """A client of the store."""
        return redis.Redis(unix_socket_path=str(Settings(data_dir=self.data).socket_path))

    def cli(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command of closer's on this machine."""
        return run(*arguments, stdin=stdin, data_dir=self.data, api_base_url=self.api, operator="olga")

    @contextmanager
    def up(self) -> Iterator[subprocess.Popen[bytes]]:
        """`closer up` in a process group of its own, as a terminal or a supervisor starts it."""
        given = environment(data_dir=self.data, api_base_url=self.api, **SETTINGS)
        with (
            (self.folder / "log").open("ab") as log,
            subprocess.Popen([*CLOSER, "up"], env=given, stdout=log, stderr=log, start_new_session=True) as process,
        ):
            try:
                yield process
            finally:
                process.kill()

    @property
    def log(self) -> str:
        """All that `closer up` has written."""
        return (self.folder / "log").read_text()

    def ready(self) -> redis.Redis:
        """A client of the store when the worker is at work; fails, with the log, when that does not come."""
        store = self.store()

        def there() -> bool:
            try:
                return bool(store.hlen(key_of("workers")))
            except redis.RedisError:
                return False

        until(there, "a worker at work")
        return store

    def killed(self) -> None:
        """Do some work, then kill everything with -9."""
        with self.up() as process:
            store = self.ready()
            publish(store, ["sg_1"])
            until(lambda: count(store, "closed") == 1, "a closed group")
            process.kill()
            process.wait(END_S)
        until(self.is_down, "the end of the store")

    def is_down(self) -> bool:
        """Whether no store answers."""
        try:
            self.store().ping()
        except redis.RedisError:
            return True
        return False


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A machine of this test's own."""
    with run_in_thread(Simulator(faults=Faults(latency_s=0.2))) as (api, simulator):
        yield Machine(tmp_path, api, simulator)


@pytest.mark.long(but=["15"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_the_whole_group_is_told_to_stop(machine: Machine, how: signal.Signals) -> None:
    """A signal to all its processes ends `closer up` in silence and as a success: every result is written before."""
    with machine.up() as process:
        store = machine.ready()
        publish(store, [f"sg_{number}" for number in range(300)])
        until(lambda: count(store, "closed") > 10, "the middle of the work")
        told = len(machine.log)
        os.killpg(process.pid, how)
        for child in store_processes(machine):
            os.kill(child, how)  # as systemd does, which signals every process of a service
        assert process.wait(END_S) == 0, machine.log[told:]
    assert machine.is_down()
    loud = (" CRITICAL ", " WARNING embedded ", " WARNING outages ")
    assert not [line for line in machine.log[told:].splitlines() if any(word in line for word in loud)]
    with machine.up() as process:
        store = machine.ready()
        until(lambda: all_ended(store, 300), "all closed")
    calls = {group.close_calls for group in machine.simulator.records().values()}
    assert calls == {1}, "a result was not written"


def store_processes(machine: Machine) -> list[int]:
    """The store's process."""
    with machine.store() as store:
        return [int(store.info("server")["process_id"])]


@pytest.mark.long
def test_a_damaged_end(machine: Machine) -> None:
    """Zeros behind the last command: `up` says so loudly and makes no call until somebody has looked and resumes."""
    machine.killed()
    with machine.commands.open("ab") as file:
        file.write(bytes(4096))
    with machine.up():
        store = machine.ready()
        [critical] = [line for line in machine.log.splitlines() if " CRITICAL " in line]
        assert "4096 bytes were cut off" in critical
        assert "closer resume --why TEXT" in critical
        publish(store, ["sg_2"])
        until(lambda: count(store, "queued") == 1, "the event received")
        gate = json.loads(machine.cli("status", "--json").stdout)["gate"]
        assert (gate["open"], gate["reason"], gate["by"]) == (False, "paused", "closer")
        assert machine.cli("resume", "--why", "looked").returncode == 0
        until(lambda: count(store, "closed") == 2, "both closed")


@pytest.mark.long
def test_damage_in_the_middle(machine: Machine) -> None:
    """`up` refuses, names the command, and changes nothing; the command asks, then cuts off, and keeps what it cut."""
    machine.killed()
    whole = machine.commands.read_bytes()
    at = whole.index(b"*", len(whole) // 2)
    damaged = whole[:at] + BROKEN + whole[at:]
    machine.commands.write_bytes(damaged)
    with machine.up() as process:
        assert process.wait(END_S) == 1
    assert "closer ledger repair" in machine.log
    assert machine.cli("ledger", "repair", stdin="n\n").returncode == 1
    assert machine.commands.read_bytes() == damaged
    repaired = machine.cli("ledger", "repair", "--json", stdin="y\n")
    told = json.loads(repaired.stdout)
    [kept] = Path(told["kept"]).iterdir()
    assert machine.commands.read_bytes() + kept.read_bytes() == damaged
    assert told["bytes"] == len(kept.read_bytes())
    assert "can be read to their end" in machine.cli("ledger", "repair", "--yes").stdout
    with machine.up():
        machine.ready()
        gate = json.loads(machine.cli("status", "--json").stdout)["gate"]
        assert (gate["reason"], gate["by"]) == ("paused", "closer")
        refused = machine.cli("ledger", "repair", "--yes")
        assert refused.returncode == 1
        assert "stop closer on this machine first" in refused.stderr
