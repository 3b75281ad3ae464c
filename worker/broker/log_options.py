"""Where and how much a worker logs, by the options of `celery worker`: `--loglevel` and `--logfile`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
from celery.utils.nodenames import node_format
from click.core import ParameterSource


def level(options: Mapping[str, Any], otherwise: str) -> str:
    """Return the level that was named on Celery's command line; `otherwise` when none was, for Celery has a default."""
    context = click.get_current_context(silent=True)
    given = context and context.get_parameter_source("loglevel")
    return str(logging.getLevelName(options["loglevel"])) if given is ParameterSource.COMMANDLINE else otherwise


def file(options: Mapping[str, Any], node: str) -> Path | None:
    """Return the file that was named; None for stderr. `node`: the worker's name, for %n, %h and the like in it."""
    name = options.get("logfile")
    return Path(node_format(name, node)) if name else None
