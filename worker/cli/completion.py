"""`closer completion`: prints the script that makes a shell complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that completes closer's commands and options in your shell.

    \b
    Examples:
      eval "$(closer completion bash)"                 # in ~/.bashrc
      eval "$(closer completion zsh)"                  # in ~/.zshrc
      closer completion fish > ~/.config/fish/completions/closer.fish
    """
    made = get_completion_class(shell)
    assert made is not None
    click.echo(made(context.find_root().command, {}, "closer", "_CLOSER_COMPLETE").source())
