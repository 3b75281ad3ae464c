"""`closer token`: makes, lists and revokes the tokens of the console, the API and the HTTP door."""

from __future__ import annotations

from typing import Any

import click

from tasks.history import iso
from tasks.ledger.tokens import Token, Tokens
from tasks.ledger.values import Unreadable
from worker.cli import options
from worker.cli.output import age, clock, plain, print_json, print_json_lines, say, styled, table
from worker.cli.output import show as print_page
from worker.cli.session import with_context
from worker.operations import tokens
from worker.operations.context import OperatorContext
from worker.operations.moment import duration_s
from worker.operations.operator import Role, Scope
from worker.operations.tokens import Wanted


class Duration(click.ParamType[float]):
    """A duration such as `90d`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the duration. A wrong one ends the command with exit code 2 and tells how to write it."""
        try:
            return duration_s(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group()
def token() -> None:
    """Commands about the tokens of the console, the API and the HTTP door."""


@token.command()
@click.option("--name", required=True, metavar="NAME", help="Who will come with it. No two tokens share a name.")
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]), help="What it is for.")
@click.option("--expires", "lasts_s", type=Duration(), metavar="TIME", help="For how long: 12h, 90d. Unset: for ever.")
@click.option("--source", "sources", multiple=True, metavar="NAME", help="An emitter's events come from this source.")
@click.option("--prefix", "prefixes", multiple=True, metavar="TEXT", help="The references of its groups begin so.")
@options.signed
@options.as_json
def create(
    name: str,
    role: str,
    lasts_s: float | None,
    sources: tuple[str, ...],
    prefixes: tuple[str, ...],
    by: str | None,
    why: str,
    as_json: bool,
) -> None:
    """Make a token, and print its secret. Nothing can show the secret again.

    An emitter publishes events, a viewer looks, an operator acts, an admin does everything. Bind an
    emitter to its source or its references (each may be given several times): then a token that gets
    into wrong hands closes no groups of others.

    \b
    Example:
      closer token create --name leeds --role emitter --source wms-leeds --expires 90d
    """
    wanted = Wanted(name, Role(role), lasts_s, Scope(sources, prefixes))
    secret = with_context(lambda context: tokens.create(context, wanted, why=why), by=by)
    if as_json:
        print_json({"name": name, "role": role, "secret": secret})
        return
    say(plain(f"The token of {name} ({role}). It is shown only now; send it as `Authorization: Bearer TOKEN`:"))
    click.echo(secret)


@token.command("list")
@options.as_json
def list_(as_json: bool) -> None:
    """Show every token: whose it is, what it is for, until when, and its last use. Secrets are not kept.

    \b
    Example:
      closer token list
    """

    async def look(context: OperatorContext) -> Tokens:
        return await tokens.list_all(context)

    found = with_context(look)
    known = sorted((one for one in found.found if isinstance(one, Token)), key=lambda one: one.name)
    for one in found.found:
        if isinstance(one, Unreadable):
            say(f"closer: {plain(one.name)} among the tokens was not written by closer; nobody can sign in with it.")
    if as_json:
        print_json_lines(one.as_json() | {"expired": one.expired(found.now_ms)} for one in known)
    elif not known:
        say("There is no token. Make one with `closer token create`.")
    else:
        _print(known, found.now_ms)


@token.command()
@click.argument("name")
@options.signed
@options.as_json
def revoke(name: str, by: str | None, why: str, as_json: bool) -> None:
    """Delete a token. The next request that comes with it is refused.

    \b
    Example:
      closer token revoke leeds --why 'it was in a ticket'
    """
    with_context(lambda context: tokens.revoke(context, name, why=why), by=by)
    if as_json:
        print_json({"revoked": name})
    else:
        click.echo(plain(f"The token of {name} is revoked."))


def _print(known: list[Token], now_ms: int) -> None:
    rows = table("name", "role", "good until", ">last used", "bound to")
    for one in known:
        used = "never" if one.used_ms is None else age(max(0.0, (now_ms - one.used_ms) / 1000)) + " ago"
        bound = [*(f"source {source}" for source in one.sources), *(f"prefix {prefix}" for prefix in one.prefixes)]
        rows.add_row(styled(one.name), one.role, _until(one, now_ms), used, styled(", ".join(bound) or "-"))
    print_page(rows)


def _until(one: Token, now_ms: int) -> str:
    if one.expires_ms is None:
        return "for ever"
    return "expired" if one.expired(now_ms) else clock(iso(one.expires_ms))
