"""Options that several commands share: filters, who and why, pace, dry run and JSON."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from dataclasses import fields
from typing import IO, Any

import click

from tasks.closure import Reason, State
from worker.cli import references as refs
from worker.operations.moment import Moment
from worker.operations.selection import Filter, Selection

Command = Callable[..., Any]


class Time(click.ParamType[Moment]):
    """A time as people write it. Which moment is meant is decided later, by the store's clock."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Moment:
        """Read the time. A wrong one ends the command with exit code 2 and tells how to write it."""
        try:
            return value if isinstance(value, Moment) else Moment.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Rate(click.ParamType[float]):
    """A number of items per second, as in `50` or `50/s`."""

    name = "n/s"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the rate. It must be more than 0 and at most 1,000,000; else the command ends with exit code 2."""
        try:
            rate = float(str(value).removesuffix("/s"))
        except ValueError:
            rate = 0.0
        if not 0 < rate <= 1_000_000:
            self.fail(f"{value!r} is not a rate: write 50, or 50/s", param, ctx)
        return rate


class Length(click.ParamType[float]):
    """A length of time, as in `10m` or `90s`; the command gets seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the length. It must be from 1 s to 30 days; else the command ends with exit code 2."""
        found = _LENGTH.fullmatch(str(value))
        seconds = int(found[1]) * _UNITS_S[found[2]] if found else 0
        if not 1 <= seconds <= _LONGEST_S:
            self.fail(f"{value!r} is not a length of time from 1s to 30d: write 90s, 10m or 2h", param, ctx)
        return float(seconds)


_LENGTH = re.compile(r"(\d{1,7})([smhd])", re.ASCII)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_LONGEST_S = 30 * 86_400
_STATES = click.Choice([state.value for state in State])
_REASONS = click.Choice([reason.value for reason in Reason])
_FILTERS: tuple[Callable[[Any], Any], ...] = (
    click.option("--state", "states", type=_STATES, multiple=True, metavar="STATE",
                 help=f"In this state: {', '.join(State)}."),
    click.option("--reason", "reasons", type=_REASONS, multiple=True, metavar="REASON",
                 help=f"Failed for this reason: {', '.join(Reason)}."),
    click.option("--status-code", "statuses", type=click.IntRange(100, 599), multiple=True, metavar="N",
                 help="The last close call got this HTTP status."),
    click.option("--code", "codes", multiple=True, metavar="CODE",
                 help="The last close call got this error code, or `timeout` and the like."),
    click.option("--source", "sources", multiple=True, metavar="NAME", help="The event came from this source."),
    click.option("--since", type=Time(), metavar="TIME",
                 help="In its state since then or later: 30m, 2h, 1d (ago), 03:00 (UTC), ISO 8601."),
    click.option("--until", type=Time(), metavar="TIME", help="In its state since then or earlier."),
    click.option("--attempts-over", type=click.IntRange(min=0), metavar="N", help="More attempts than N."),
    click.option("--reference-prefix", "prefix", metavar="TEXT", help="The reference begins so."),
    click.option("--text", metavar="TEXT", help="Anywhere in its identities or history, whatever the case."),
)  # fmt: skip
_NAMES = tuple(field.name for field in fields(Filter))


def filters(command: Command) -> Command:
    """Add the filters to a command, which gets them as `filter_`.

    All that are given must hold. Of one that is given several times, any value may hold.
    """

    @functools.wraps(command)
    def with_filter(*args: Any, **kwargs: Any) -> Any:
        given = {name: kwargs.pop(name) for name in _NAMES}
        given["states"] = tuple(State(state) for state in given["states"])
        given["reasons"] = tuple(Reason(reason) for reason in given["reasons"])
        given["statuses"] = tuple(str(status) for status in given["statuses"])
        return command(*args, filter_=Filter(**given), **kwargs)

    for option in reversed(_FILTERS):
        with_filter = option(with_filter)
    return with_filter


def selection(command: Command) -> Command:
    """Add references, files of them and the filters to a command, which gets all as `selection`."""

    @functools.wraps(command)
    def with_selection(
        *args: Any, references: tuple[str, ...], files: tuple[IO[bytes], ...], filter_: Filter, **kwargs: Any
    ) -> Any:
        chosen = refs.named(references, files)
        return command(*args, selection=Selection.of(chosen, filter_), **kwargs)

    return refs.argument(refs.file_option(filters(with_selection)))


def signed(command: Command) -> Command:
    """Add `--by` and `--why` to a command. Both are kept in the audit."""
    by = click.option("--by", metavar="NAME", help="Who, for the audit.  [default: CLOSER_OPERATOR, or your login]")
    why = click.option("--why", default="", metavar="TEXT", help="Why, for the audit.")
    return by(why(command))


rate = click.option("--rate", type=Rate(), default=None, metavar="N/s", help="At most so many a second.")
detach = click.option("--detach", is_flag=True, help="Leave it to the workers, and return at once.")
while_shut = click.option(
    "--while-shut", is_flag=True, help="Ask the API although the gate is shut (paused, outage, unauthorised)."
)
ask_api = click.option(
    "--ask-api",
    is_flag=True,
    help="Ask the API for each group first. What is closed there is recorded so, without a call.",
)
dry_run = click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
yes = click.option("--yes", is_flag=True, help="Do not ask, however many they are.")
as_json = click.option("--json", "as_json", is_flag=True, help="JSON on stdout, nothing else.")
