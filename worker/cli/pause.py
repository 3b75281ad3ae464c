"""`closer pause`: stops all calls to the API until `closer resume`."""

from __future__ import annotations

import click

from worker.cli import options
from worker.cli.gate import tell
from worker.cli.session import with_context
from worker.operations import gate


@click.command()
@options.signed
@options.as_json
def pause(by: str | None, why: str, as_json: bool) -> None:
    """Make no more calls to the API until `closer resume`, in the whole fleet.

    Events are still taken in, calls in flight end, and deadlines stand still meanwhile.

    \b
    Example:
      closer pause --why 'Sorted is being upgraded until 04:00'
    """
    tell(with_context(lambda context: gate.pause(context, why=why), by=by), as_json)
