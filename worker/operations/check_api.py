"""Checks the API: whether it can be reached, and whether it accepts the key."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from tasks.api.address import DEFAULT_PORTS
from tasks.api.egress import proxy_of
from tasks.api.reply import Failure, NoReply, Reply
from tasks.api_health import throttle_s
from tasks.errors import CloserError, ConfigurationError, ForeignApi, LedgerBroken, StoreUnavailable
from tasks.history import iso
from tasks.verdict import group_state
from worker.construct import api_of
from worker.operations.aside import aside
from worker.operations.context import open_context
from worker.operations.finding import Finding, Line
from worker.operations.operator import Operator
from worker.operations.policy import refuse_other_api
from worker.operations.reach import Place, explained, other_protocol
from worker.settings import Settings

# This looks like a reference and belongs to no group. Asking for it changes nothing.
NOBODY = "sg_" + "0" * 32
_VARIABLE = "CLOSER_API_BASE_URL"
_NOT_REACHED = (Failure.CONNECT, Failure.CUT, Failure.TIMEOUT, Failure.PROTOCOL)
_WAIT_S = 8.0  # for a few questions about what the server speaks


async def held_back(operator: Operator, settings: Settings) -> Line | None:
    """Return the line that says why the API is not asked, None if it may be asked.

    It is not asked when the ledger is for another API, or when the API wants no calls for a time. Without a store
    nobody knows, so it is asked.
    """
    try:
        async with open_context(operator, settings) as context:
            await refuse_other_api(context)
            throttled = (await context.ledger.gate.look()).get("throttled")
    except ForeignApi:
        message = f"{settings.api_base_url} was not asked: the ledger is for another API"
        return Line("api", Finding.WARNING, message, "see what `ledger` says above")
    except (StoreUnavailable, LedgerBroken):
        return None
    if throttled is None or throttled.until_ms is None:
        return None
    message = f"{settings.api_base_url} was not asked: it wants no calls until {iso(throttled.until_ms)}"
    return Line("api", Finding.WARNING, message, "wait until then; closer does, too")


def called(settings: Settings) -> Place:
    """Return the server that calls go to first: the proxy that the environment names, else the API."""
    url = settings.api_base_url
    try:
        proxy = proxy_of(url)
    except ConfigurationError:  # `api` tells it
        return Place("api", url, _VARIABLE)
    if proxy is not None:
        return Place("api", f"{url} (through {proxy.url})", f"{_VARIABLE} or the proxy's variable", proxy.url.host)
    parts = urlsplit(url)
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    return Place("api", url, _VARIABLE, parts.hostname or "", port, tls=parts.scheme == "https")


async def api(operator: Operator | None, settings: Settings) -> Line:
    """Ask the API for a group that cannot exist, and return what the reply says.

    `operator`: None where the store cannot be used. Nothing is changed at Sorted. A Retry-After in the reply holds back
    the whole fleet.
    """
    if settings.api_key is None:
        return Line(
            "api", Finding.WARNING, f"{settings.api_base_url} was not asked: there is no key", "set CLOSER_API_KEY"
        )
    try:
        client = api_of(settings, connections=1)
    except ConfigurationError as error:  # the proxy or the certificates that the environment names
        return Line("api", Finding.WRONG, str(error))
    try:
        reply = await client.state(NOBODY)
    except CloserError as error:
        return Line("api", Finding.WRONG, str(error))
    finally:
        await client.aclose()
    if operator is not None:
        await _tell_fleet(operator, settings, reply)
    return await _judged(called(settings), reply)


async def _judged(place: Place, reply: Reply | NoReply) -> Line:
    """Judge the reply. Where there is none, or a page of some gateway's, the server is asked what it speaks."""
    if isinstance(reply, NoReply) and reply.failure in _NOT_REACHED:
        return await explained(place, f"{reply} {reply.detail}".strip())
    line = judge(place.address, reply)
    if line.finding is Finding.OK or place.tls:
        return line
    with suppress(TimeoutError):
        other = await aside(partial(other_protocol, place, str(reply)), _WAIT_S)
        return line if other is None else other
    return line


async def _tell_fleet(operator: Operator, settings: Settings, reply: Reply | NoReply) -> None:
    """Hold the workers back, too, when the API asks this command to wait. Without a store nobody can be told."""
    if hold_s := throttle_s(reply):
        with suppress(StoreUnavailable, LedgerBroken, ForeignApi):
            async with open_context(operator, settings) as context:
                await refuse_other_api(context)
                await context.ledger.gate.throttle(hold_s)


def judge(url: str, reply: Reply | NoReply) -> Line:
    """Return what the reply for a group that cannot exist says about the address and the key."""
    if isinstance(reply, NoReply):
        said = f"{reply} {reply.detail}".strip()
        if reply.failure is Failure.OWN:
            return Line("api", Finding.WRONG, f"{url} could not be called ({said})", "correct that, then check again")
        remedy = "check CLOSER_API_BASE_URL, and that this machine may connect to it (firewall, HTTPS_PROXY)"
        return Line("api", Finding.WRONG, f"{url} gives no reply ({said})", remedy)
    match reply.status:
        case 200 | 404 if _is_its_own(reply):
            return Line("api", Finding.OK, f"{url} answers, and accepts the key")
        case 401:
            return Line("api", Finding.WRONG, f"{url} refuses the key (401)", "set CLOSER_API_KEY to a valid key")
        case 403:
            remedy = "ask whoever manages the Sorted account to permit this key to read and close shipment groups"
            return Line("api", Finding.WRONG, f"{url} knows the key, but permits it nothing here (403)", remedy)
        case 400 if reply.body is not None:
            remedy = "check CLOSER_API_VERSION; if it is right, the API dislikes only the reference we tried with"
            return Line("api", Finding.WARNING, f"{url} answers, but not to this request ({reply})", remedy)
        case status if status == 429 or throttle_s(reply):
            remedy = "wait; the workers do, too, and go on by themselves"
            return Line("api", Finding.WARNING, f"{url} asks for fewer calls just now ({reply})", remedy)
        case status if status >= 500:
            remedy = "ask Sorted what is wrong, and check again later; workers go on by themselves when it is well"
            return Line("api", Finding.WRONG, f"{url} is ill, so a worker closes nothing now ({reply})", remedy)
        case _:
            remedy = (
                "check CLOSER_API_BASE_URL: this does not look like the Sorted API (is a proxy in between, or does a "
                "gateway demand a client certificate?)"
            )
            return Line("api", Finding.WRONG, f"{url} gives an unexpected reply ({reply})", remedy)


def _is_its_own(reply: Reply) -> bool:
    """Return whether the API itself has replied: about the group that was asked for, or with an error body.

    A gateway may answer with anything else.
    """
    return group_state(reply, NOBODY) is not None or (reply.status == 404 and reply.body is not None)
