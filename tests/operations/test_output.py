"""Every command with a standard stream that is closed, full, read by nobody, or in a poor encoding."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import termios
from fcntl import ioctl
from pathlib import Path

import pytest
import redis

from tasks.closure import Reason
from tasks.events.event import Rejection
from tests.operations.conftest import Cli, at_ledger
from tests.operations.seed import Seed
from tests.operations.test_json import COMMANDS
from tests.support import CLOSER, environment, key_of

# Each command with arguments with which it ends soon, its exit code, and whether it prints on stdout.
CASES: dict[str, tuple[str, int, bool]] = {
    "demo": ("--groups 3", 0, True),
    "up": ("", 2, False),  # without a key it does not start
    "worker": ("", 2, False),
    "console": ("", 2, False),  # it would listen beyond this machine, in the clear
    "health": ("", 1, True),
    "status": ("", 0, True),
    "list": ("--state failed", 0, True),
    "show": ("sg_00000", 0, True),
    "requeue": ("sg_closed --why x", 1, True),
    "discard": ("sg_closed --why x", 1, True),
    "verify": ("sg_never", 0, True),
    "hold": ("sg_00000 --why x", 0, True),
    "release": ("sg_00000 --why x", 1, True),
    "actions list": ("", 0, True),
    "actions show": ("nothing", 1, False),
    "actions stop": ("nothing --why x", 1, False),
    "actions resume": ("nothing --why x", 1, False),
    "actions recall": ("nothing --why x", 1, False),
    "pause": ("--why x", 0, True),
    "resume": ("--why x", 0, True),
    "rejected list": ("", 0, True),
    "rejected export": ("", 0, True),
    "audit export": ("", 0, True),
    "rejected show": ("1-0", 1, False),
    "rejected replay": ("1-0", 1, False),
    "rejected discard": ("1-0 --why x", 1, False),
    "audit": ("", 0, True),
    "publish": ("sg_00000", 0, True),
    "check": ("", 1, True),  # nothing listens at the API's address
    "ledger move-api": ("--why x", 0, True),
    "token create": ("--name x --role viewer", 1, False),  # `prepare` has made it
    "token list": ("", 0, True),
    "token revoke": ("nobody", 1, False),
    "ledger repair": ("--yes", 2, False),  # the store is not the embedded one
    "alerts drill": ("", 2, False),  # there is no webhook
    "metrics": ("", 0, True),
    "completion": ("bash", 0, True),
    "simulate": ("--host a..b", 1, False),
}
EXPORTS = {"audit export", "rejected export"}
API = "http://127.0.0.1:9"


class Streams:
    """Runs one command with its standard streams in some state."""

    def __init__(self, cli: Cli, folder: Path, name: str, *more: str) -> None:
        arguments, self.code, self.prints = CASES[name]
        self._words = [*CLOSER, *name.split(), *arguments.split(), *more]
        self._environment = environment(redis_url=cli.url, operator="olga", data_dir=folder, api_base_url=API)
        if name in ("up", "worker"):
            del self._environment["CLOSER_API_KEY"]
        if name == "console":
            self._environment["CLOSER_HTTP_HOST"] = "0.0.0.0"

    def run(self, redirections: str = "", stdout: int = subprocess.PIPE, **variables: str) -> tuple[int, str]:
        """Return the exit code, and what it says on stderr. Nobody may ever see a traceback."""
        shell = ["sh", "-c", f'exec "$@" {redirections}', "sh", *self._words]
        environ = self._environment | variables
        done = subprocess.run(shell, env=environ, stdout=stdout, stderr=subprocess.PIPE, timeout=60, check=False)
        said = done.stderr.decode("utf-8", "backslashreplace")
        assert "Traceback" not in said
        assert "Exception ignored" not in said
        return done.returncode, said


@pytest.fixture(params=sorted({*CASES} - EXPORTS))
def command(request: pytest.FixtureRequest, cli: Cli, tmp_path: Path) -> Streams:
    """Each command of closer's but those that write an export."""
    cli.sow([Seed("sg_closed"), Seed("sg_00000", Reason.GONE, 410)])
    prepare(cli)
    return Streams(cli, tmp_path, request.param)


def prepare(cli: Cli) -> None:
    """Have something to print for each command."""
    cli.text("token", "create", "--name", "x", "--role", "viewer")
    cli.text("hold", "sg_held", "--why", "x")
    cli.text("pause", "--why", "x")
    cli.text("resume", "--why", "x")
    at_ledger(cli.url, lambda ledger: ledger.dead_letters.reject(b"x", Rejection(("event: wrong",)), "1-0"))


def test_every_command_is_tried() -> None:
    """A new command is tried, too."""
    assert {*COMMANDS} <= {*CASES}


@pytest.mark.parametrize("name", ["audit export", "rejected export", "rejected export --discard --until 0s --why x"])
@pytest.mark.parametrize("stdout", [">&-", ">/dev/full"])
def test_an_export_to_a_stdout_that_takes_nothing_fails(
    cli: Cli, store: redis.Redis, tmp_path: Path, name: str, stdout: str
) -> None:
    """Nothing that could not be written is removed, also when stdout is closed."""
    prepare(cli)
    code, said = Streams(cli, tmp_path, " ".join(name.split()[:2]), *name.split()[2:]).run(stdout)
    assert code == 1
    assert "stdout could not be written" in said
    assert store.xlen(key_of("rejected")) == 1


@pytest.mark.long(but=["health", "list", "requeue", "status"])
def test_output_that_cannot_be_written(command: Streams, request: pytest.FixtureRequest) -> None:
    """The command goes on to its end.

    A stream that is closed is not missed. When a disk is full, the output that is lost is told, and counts as a
    failure; only `health` answers by its exit code. A reader that is gone has read what it wanted.
    """
    assert command.run("<&- >&- 2>/dev/full")[0] == command.code
    code, said = command.run(">/dev/full")
    fails = command.prints and request.node.callspec.params["command"] != "health"
    assert code == (command.code or 1 if fails else command.code)
    assert ("could not be written (No space left on device)" in said) is fails
    reading, writing = os.pipe()
    os.close(reading)
    code, said = command.run(stdout=writing)
    os.close(writing)
    assert code == command.code
    assert "could not be written" not in said


@pytest.mark.long(but=["list", "status"])
def test_a_poor_locale(command: Streams) -> None:
    """A character that the encoding lacks is written in other words or escaped."""
    code, _ = command.run(PYTHONIOENCODING="latin-1", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", COLUMNS="20")
    assert code == command.code


@pytest.mark.parametrize(
    "arguments",
    [
        "list --text X", "list --source X", "list --code X", "list --reference-prefix X", "list --since X", "X",
        "list --cursor 1:failed:X", "requeue --text X --why w", "discard --reason gone --why X", "verify X",
        "pause --why X", "pause --by X", "audit --by X", "audit --action X", "publish sg_1 --source X",
        "publish sg_1 --id X", "publish --file X", "rejected replay --accept-type X", "rejected show X", "show X",
        "rejected replay 1-0 --set reference=X", "ledger move-api --why X", "simulate --host X", "completion X",
    ],
)  # fmt: skip
def test_an_argument_that_is_not_utf_8_is_refused(cli: Cli, arguments: str) -> None:
    """It is shown escaped, and nothing is done: the store and the audit keep text only."""
    cli.sow([Seed("sg_00000", Reason.GONE, 410)])
    words: list[bytes] = [word.encode().replace(b"X", b"caf\xe9") for word in arguments.split()]
    ours = environment(redis_url=cli.url, operator="olga")
    done = subprocess.run([*CLOSER, *words], env=ours, capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert rb"caf\xe9' is not UTF-8 at byte" in done.stderr
    assert b"nothing was done" in done.stderr
    assert cli.lines("audit") == []


@pytest.mark.parametrize("utf8", [{}, {"PYTHONUTF8": "0"}], ids=["unset", "0"])
@pytest.mark.parametrize("name", ["LOGNAME", "CLOSER_OPERATOR"])
def test_utf_8_is_read_in_any_locale(cli: Cli, name: str, utf8: dict[str, str]) -> None:
    """Arguments, the operator and the login name are text in the audit, also where the locale's encoding is ASCII."""
    poor = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"} | utf8
    inherited = {key: value for key, value in environment(redis_url=cli.url).items() if key != "PYTHONUTF8"}
    ours = inherited | {name: "josé"} | poor
    subprocess.run([*CLOSER, "pause", "--why", "größer"], env=ours, capture_output=True, timeout=60, check=True)
    [entry] = cli.lines("audit")
    assert (entry["why"], entry["by"]) == ("größer", "josé")


def test_a_list_ends_when_nobody_reads_on(cli: Cli) -> None:
    """`closer status --watch --json | head -1` ends by itself."""
    ours = environment(redis_url=cli.url)
    with subprocess.Popen([*CLOSER, "status", "--watch", "--json"], env=ours, stdout=subprocess.PIPE) as watch:
        assert watch.stdout is not None
        watch.stdout.readline()
        watch.stdout.close()
        assert watch.wait(30) == 0


@pytest.mark.long(but=["20"])
@pytest.mark.parametrize("columns", [1, 20])
def test_a_narrow_terminal_cuts_nothing_off(cli: Cli, columns: int) -> None:
    """References, reasons and commands are whole: the terminal wraps the rows, and they can still be copied."""
    cli.sow([Seed("sg_00684650028894794889609836494848", Reason.UNEXPECTED_REPLY, 410)])
    cli("pause", "--why", "an upgrade until four", "--by", "jane")
    for arguments, whole in (
        ("list", "sg_00684650028894794889609836494848  unexpected_reply"),
        ("status", "closer list --reason unexpected_reply"),
        ("show sg_00684650028894794889609836494848", "correlation id c-sg_00684650028894794889609836494848"),
        ("audit", "why: an upgrade until four"),
    ):
        assert whole in on_terminal(cli, arguments.split(), columns)


def on_terminal(cli: Cli, arguments: list[str], columns: int) -> str:
    """What a command prints on a terminal of so many columns, without its colours."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environ = environment(redis_url=cli.url) | {"TERM": "xterm"}
    environ.pop("COLUMNS", None)  # it would count more than the terminal
    with subprocess.Popen([*CLOSER, *arguments], env=environ, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        printed = b""
        while chunk := _read(ours):
            printed += chunk
        assert process.wait(30) == 0
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;]*m", "", printed.decode())


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # a terminal ends so
        return b""
