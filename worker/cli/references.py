"""References from the command line, from files and from standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import IO

import click

from worker.cli import phrase
from worker.cli.output import count, plain, say
from worker.operations import reference_lines
from worker.operations.reference_lines import Line
from worker.operations.refusal import Refused, Rule

STDIN = "-"
_MOST = 1_000_000
_LONGEST = 1024 * 1024 + 1  # of a line; an array of events may have a mebibyte

argument = click.argument("references", nargs=-1, metavar="[REF]...")
file_option = click.option(
    "--file", "files", type=click.File("rb"), multiple=True, metavar="PATH", help="References, one a line; - is stdin."
)


def named(references: Sequence[str], files: Sequence[IO[bytes]]) -> tuple[str, ...]:
    """Return the references of the command line, which are not checked here, and of the files; each once, in order.

    A single `-` on the command line stands for standard input. Raises click.UsageError when a line is wrong, and when
    files were given that name nothing: an empty file must never mean everything.
    """
    references, files = sources(references, files)
    found, total = dict.fromkeys(references), len(references)
    wrong: list[str] = []
    for line in lines(files):
        if line.problem:
            wrong.append(f"{line.where}: {line.problem}")
        else:
            found[line.reference] = None
            total += 1
    if wrong:
        text = f"nothing was done: {count(len(wrong), 'line is', 'lines are')} wrong"
        raise click.UsageError(phrase.refusal(Refused(Rule.WRONG_LINES, text, wrong=wrong)))
    if files and not found:
        raise click.UsageError(f"{_name(files[0])} names no reference: nothing was chosen, and nothing was done")
    tell_repeats(total - len(found))
    return tuple(found)


def sources(references: Sequence[str], files: Sequence[IO[bytes]]) -> tuple[Sequence[str], Sequence[IO[bytes]]]:
    """Return the references and the files that are meant: a single `-` stands for standard input.

    Raises click.UsageError when other references or files stand beside it.
    """
    if STDIN not in references:
        return references, files
    if len(references) > 1 or files:
        raise click.UsageError("- alone reads standard input: give no references and no file with it")
    return (), (sys.stdin.buffer,)


def lines(files: Sequence[IO[bytes]], *, events: bool = False) -> Iterator[Line]:
    """Yield what the lines of the files hold, see `reference_lines.read`. A header is told on stderr.

    Raises click.UsageError when a file cannot be read, or is too large.
    """
    total = 0
    for file in files:
        name = "" if len(files) == 1 else f"{_name(file)}, "
        for line in reference_lines.read(_numbered(file, name), events=events):
            if line.header:
                say(plain(f"{line.where} is taken for a header: {line.header}"))
                continue
            total += 1
            if total > _MOST:
                raise click.UsageError(f"more than {_MOST:,} lines: split the file; nothing was done")
            yield line


def tell_repeats(repeats: int) -> None:
    """Tell on stderr how many references were given again."""
    if repeats:
        say(f"{count(repeats, 'reference')} stood there before, and each counts once.")


def _numbered(file: IO[bytes], name: str) -> Iterator[tuple[str, bytes]]:
    try:
        for number, line in enumerate(iter(lambda: file.readline(_LONGEST), b""), start=1):
            if len(line) == _LONGEST and not line.endswith(b"\n"):
                raise click.UsageError(f"{name}line {number} is longer than a mebibyte; nothing was done")
            yield f"{name}line {number}", line
    except OSError as error:
        raise click.UsageError(f"{_name(file)} cannot be read ({error.strerror}); nothing was done") from None


def _name(file: IO[bytes]) -> str:
    name = getattr(file, "name", "<stdin>")
    return "standard input" if name in ("<stdin>", 0) else plain(name)
