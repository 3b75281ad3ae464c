"""References by file and by standard input, for every command that takes references."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import redis

from tasks.closure import Reason
from tests.operations.conftest import Cli
from tests.operations.seed import Seed
from tests.operations.test_json import COMMANDS
from tests.support import API_KEY, CLOSER, STREAM, count, environment
from worker.simulator.server import Simulator, run_in_thread

# Each command that takes references, with the options that it needs.
TAKERS = {
    "requeue": "--why x", "discard": "--why x", "hold": "--why x", "release": "--why x", "verify": "", "show": "",
    "publish": "",
}  # fmt: skip
FAILED = [Seed(f"sg_{n}", Reason.GONE, 410) for n in range(30)]


@pytest.fixture(params=TAKERS)
def taker(request: pytest.FixtureRequest) -> list[str]:
    """Each command that takes references, as words."""
    return [request.param, *TAKERS[request.param].split()]


def untouched(cli: Cli, store: redis.Redis) -> bool:
    """Whether nothing was done: no closure has changed, no event was sent, and the audit is empty."""
    return (count(store, "failed"), store.xlen(STREAM), cli.lines("audit")) == (len(FAILED), 0, [])


def test_every_command_that_takes_references_takes_files() -> None:
    """`--file` stands beside `REF...` in each command."""
    arguments = {name for name, command in COMMANDS.items() if "references" in {one.name for one in command.params}}
    options = {name: [opt for one in command.params for opt in one.opts] for name, command in COMMANDS.items()}
    files = {name for name, opts in options.items() if "--file" in opts}
    assert arguments == set(TAKERS) <= files


@pytest.mark.parametrize("way", ["file", "stdin as -", "stdin as --file -", "two files"])
def test_references_come_from_files(cli: Cli, taker: list[str], tmp_path: Path, way: str) -> None:
    """Each is taken once, however often it stands there; repeats and a header are told on stderr."""
    cli.sow(FAILED)
    if taker[0] == "release":
        cli("hold", "sg_3", "sg_4", "--why", "x")
    text = '\ufeff"Reference",\r\n sg_3 ,\r\n\r\nsg_4\r\n"sg_3"\r\n'
    file, more = tmp_path / "groups.csv", tmp_path / "more"
    file.write_bytes(text.encode())
    more.write_bytes(b"sg_4\n")
    given = {
        "file": ["--file", str(file)], "stdin as -": ["-"], "stdin as --file -": ["--file", "-"],
        "two files": ["--file", str(file), "--file", str(more)],
    }[way]  # fmt: skip
    with run_in_thread(Simulator(api_key=API_KEY)) as (url, _):
        done = cli(*taker, *given, "--json", stdin=text if "stdin" in way else "", api_base_url=url)
    assert "is taken for a header" in done.stderr
    assert f"{'2 references' if way == 'two files' else '1 reference'} stood there before" in done.stderr
    expected = {
        "requeue": '"requeued": 2', "discard": '"discarded": 2',
        "hold": '"held": 2', "release": '"released": 2', "verify": '"matched": 2', "publish": '"published": 2',
        "show": '"reference": "sg_4"',
    }  # fmt: skip
    assert expected[taker[0]] in done.stdout


@pytest.mark.parametrize("text", ["", "\n \r\n", "\ufeff", "reference\n", ",,\n", '""\n'])
@pytest.mark.parametrize("more", [[], ["--reason", "gone"]])
def test_an_empty_file_never_means_everything(
    cli: Cli, store: redis.Redis, taker: list[str], tmp_path: Path, text: str, more: list[str]
) -> None:
    """It is refused in words, also beside a filter, and nothing is done."""
    cli.sow(FAILED)
    if taker[0] in ("show", "publish"):
        more = []  # they have no filters
    (tmp_path / "empty").write_text(text, encoding="utf-8")
    code, said = cli.said(*taker, *more, "--file", str(tmp_path / "empty"))
    assert code == 2
    assert "names no reference: nothing was chosen, and nothing was done" in said or "nothing to publish" in said
    assert untouched(cli, store)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"sg_1\nbad ref\nsg_2\n", 'line 2: "bad ref" is not a reference'),
        (b"sg_1\nsg_2\x1b[2J\n", r'line 2: "sg_2\x1b[2J" is not a reference'),
        (b"sg_1\ncaf\xe9\n", r'line 2: "caf\xe9" is not a reference'),
        (b"sg_1,sg_2\n", 'line 1: "sg_1,sg_2" has several values'),
        ("sg_1\n".encode("utf-16"), "line 1: this is UTF-16"),
        (b"?\n" * 50, "and 30 more"),
        (b"x" * (1024 * 1024 + 1), "line 1 is longer than a mebibyte"),
    ],
)
def test_a_wrong_line_is_shown_and_nothing_is_done(
    cli: Cli, store: redis.Redis, taker: list[str], tmp_path: Path, text: bytes, words: str
) -> None:
    """Its number and what stands there are told, escaped; the right lines beside it are not acted upon either."""
    cli.sow(FAILED)
    (tmp_path / "wrong").write_bytes(text)
    code, said = cli.said(*taker, "--file", str(tmp_path / "wrong"))
    assert (code, words in said) == (2, True), said
    assert "\x1b" not in said
    assert untouched(cli, store)


@pytest.mark.parametrize(
    "given", [["-", "sg_1"], ["-", "--file", "X"], ["--file", "nowhere"], ["--file", "."], ["--file", ""]]
)
def test_wrong_usage_of_files(cli: Cli, store: redis.Redis, taker: list[str], tmp_path: Path, given: list[str]) -> None:
    """A file that is not there or cannot be read, and `-` beside others, are wrong usage."""
    cli.sow(FAILED)
    (tmp_path / "X").write_text("sg_1\n")
    code, said = cli.said(*taker, *(str(tmp_path / "X") if word == "X" else word for word in given))
    assert (code, "- alone reads standard input" in said) == (2, given[0] == "-"), said
    assert untouched(cli, store)


@pytest.mark.long(but=["requeue"])
def test_standard_input_that_is_closed_is_empty(cli: Cli, taker: list[str]) -> None:
    """It is no traceback, and nothing is done."""
    shell = ["sh", "-c", 'exec "$@" <&-', "sh", *CLOSER, *taker, "-"]
    ours = environment(redis_url=cli.url, operator="olga")
    done = subprocess.run(shell, env=ours, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "nothing to publish" in done.stderr or "standard input names no reference" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("requeue --why x", '"skipped": {"unknown": 70000}'),
        ("verify --dry-run --while-shut", '"skipped": {"unknown": 70000}'),
        ("publish", '"published": 70000'),
    ],
)
def test_seventy_thousand_references_by_file(cli: Cli, tmp_path: Path, words: str, expected: str) -> None:
    """They do not fit on a command line; by file they are acted upon in chunks, in a gigabyte of address space."""
    (tmp_path / "groups").write_text("\n".join(f"sg_{n}" for n in range(70_000)))
    ours = environment(redis_url=cli.url, operator="olga")
    shell = ["sh", "-c", 'ulimit -v 1048576; exec "$@"', "sh", *CLOSER, *words.split(), "--file", "groups", "--json"]
    done = subprocess.run(shell, env=ours, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert expected in done.stdout, done.stderr
