"""`closer console`: serves the API and the HTTP door."""

from __future__ import annotations

import asyncio

import click

from worker.observe import logs
from worker.settings import load


@click.command()
@click.option("--next-free-port", "next_free", is_flag=True, help="Where CLOSER_HTTP_PORT is taken, use the next one.")
@click.option("--until-input-ends", "owned", is_flag=True, hidden=True, help="Stop when standard input ends.")
def console(next_free: bool, owned: bool) -> None:
    """Serve the API and the HTTP door for events, until it is stopped.

    It listens on this machine only. For other machines make a token (closer token create), put a proxy with
    TLS before it, and set CLOSER_HTTP_HOST and CLOSER_PUBLIC_URL.

    \b
    Example:
      closer console
    """
    settings = load()
    logs.configure(settings.log_level, settings.log_format)
    from worker.web.serve import serve  # its framework takes half a second to load

    asyncio.run(serve(settings, next_free=next_free, owned=owned))
