"""The commands of `closer`."""

from __future__ import annotations

import importlib

import click

# Where each command is. Only the one that is run is imported, because importing all of them would be slow.
COMMANDS = {
    "demo": "worker.cli.demo:demo",
    "up": "worker.cli.up:up",
    "worker": "worker.cli.worker:work",
    "console": "worker.cli.console:console",
    "health": "worker.cli.health:health",
    "status": "worker.cli.status:status",
    "list": "worker.cli.list:list_",
    "show": "worker.cli.show:show",
    "requeue": "worker.cli.requeue:requeue",
    "discard": "worker.cli.discard:discard",
    "verify": "worker.cli.verify:verify",
    "hold": "worker.cli.hold:hold",
    "release": "worker.cli.release:release",
    "actions": "worker.cli.actions:actions",
    "pause": "worker.cli.pause:pause",
    "resume": "worker.cli.resume:resume",
    "rejected": "worker.cli.rejected:rejected",
    "audit": "worker.cli.audit:audit",
    "publish": "worker.cli.publish:publish",
    "check": "worker.cli.check:check",
    "ledger": "worker.cli.ledger:ledger",
    "token": "worker.cli.token:token",
    "alerts": "worker.cli.alerts:alerts",
    "metrics": "worker.cli.metrics:metrics",
    "completion": "worker.cli.completion:completion",
    "simulate": "worker.cli.simulate:simulate",
}


class Commands(click.Group):
    """The commands, in the order of the table above. A command's module is imported only when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click passes it)
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command of that name, and return it. Returns None when there is none."""
        module, _, attribute = COMMANDS.get(cmd_name, "").partition(":")
        if not module:
            return None
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(package_name="closer")
def cli() -> None:
    """Close shipment groups at the Sorted API, once each, and never lose one."""
