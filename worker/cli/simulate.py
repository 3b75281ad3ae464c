"""`closer simulate`: runs a simulated Sorted API for trials, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable
from typing import Any

import click
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from worker.simulator.faults import CALL_FAULTS, GROUP_FAULTS, Faults
from worker.simulator.server import Simulator

RATE = click.FloatRange(0, 1)
KINDS: dict[str, click.ParamType[Any]] = {
    **dict.fromkeys([*GROUP_FAULTS, *CALL_FAULTS], RATE),
    "latency_s": click.FloatRange(min=0),
    "latency_jitter_s": click.FloatRange(min=0),
    "processing_calls": click.IntRange(min=1),
    "retry_after_s": click.IntRange(min=0),
    "close_only": click.BOOL,
}


def fault_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each field of `Faults`. Its help is the field's description."""
    for name, field in reversed(Faults.model_fields.items()):
        flag = "--" + name.removesuffix("_s").replace("_", "-")
        option = click.option(
            flag,
            name,
            type=KINDS[name],
            is_flag=KINDS[name] is click.BOOL,
            default=field.default,
            show_default=True,
            help=field.description,
        )
        command = option(command)
    return command


@click.command(epilog="Rates are shares in 0..1. The same seed gives each group and call the same fate.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0: a free one.")
@click.option("--seed", type=int, default=0, show_default=True, help="What the faults are drawn from.")
@click.option("--api-key", help="Accept this x-api-key only.  [default: any that is not empty]")
@fault_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the start, nothing else.")
def simulate(host: str, port: int, seed: int, api_key: str | None, as_json: bool, **faults: Any) -> None:
    """Run a SIMULATED Sorted API on this machine until Ctrl-C or SIGTERM.

    It closes, locks and shows shipment groups as the documented API does, makes unknown groups up as locked
    ones, and goes wrong as often as told. Nothing ever reaches Sorted.

    \b
    Example: one group in ten is not locked, one reply in twenty is lost.
        closer simulate --port 8090 --unlocked 0.1 --cut-after 0.05
        export CLOSER_API_BASE_URL=http://127.0.0.1:8090/pro
    """
    try:
        simulator = Simulator(seed=seed, faults=Faults(**faults), api_key=api_key)
    except ValidationError as wrong:
        raise click.UsageError("; ".join(_complaint(each) for each in wrong.errors())) from None
    try:
        asyncio.run(_run(simulator, host, port, as_json))
    except (OSError, UnicodeError) as wrong:  # UnicodeError: a host that cannot be a name
        raise click.ClickException(f"cannot listen on {host}:{port} ({wrong}); try another --port") from None
    click.echo(_farewell(simulator), err=as_json)


def _complaint(error: ErrorDetails) -> str:
    return ": ".join([*map(str, error["loc"]), error["msg"].removeprefix("Value error, ")])


async def _run(simulator: Simulator, host: str, port: int, as_json: bool) -> None:
    told_to_stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told_to_stop.set)
    base_url = await simulator.start(host, port)
    click.echo(json.dumps({"base_url": base_url}) if as_json else _greeting(base_url, simulator))
    await told_to_stop.wait()  # no time limit: it runs until it is told to stop
    await simulator.stop()


def _greeting(base_url: str, simulator: Simulator) -> str:
    key = "any x-api-key" if simulator.settings.api_key is None else "the given x-api-key only"
    return "\n".join(
        [
            f"Simulated Sorted API at {base_url} (a simulation: nothing reaches Sorted).",
            f"Seed {simulator.groups.seed}; accepts {key}. Use it with:",
            f"    export CLOSER_API_BASE_URL={base_url}",
            "Ctrl-C stops it.",
        ]
    )


def _farewell(simulator: Simulator) -> str:
    totals = simulator.groups.summary()
    calls = sum(sum(by_status.values()) for by_status in totals["calls"].values())
    return (
        f"Simulation over: {calls} calls, {sum(totals['groups'].values())} groups, "
        f"{totals['effective_closes']} of them closed by a call."
    )
