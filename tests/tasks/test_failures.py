"""A missing reply is attributed to the API, to the network, or to this process."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import ssl
import subprocess
import sys

import aiohttp
import httpx
import pytest
from pydantic import SecretStr

from tasks.api.client import SortedApi
from tasks.api.failures import no_reply
from tasks.api.reply import Failure, NoReply
from tasks.api.standstill import Standstill
from tests.tasks.standin import CLOSED, REF, Answer, StandIn

OWN = [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EADDRNOTAVAIL]
OTHERS = [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EACCES]


def raised(number: int, words: str = "") -> httpx.ConnectError:
    """What the transport raises when connecting fails so."""
    error = httpx.ConnectError("x")
    error.__cause__ = aiohttp.ClientOSError(number, words or os.strerror(number))
    return error


@pytest.mark.parametrize("number", OWN, ids=errno.errorcode.get)
def test_what_this_process_has_run_out_of(number: int) -> None:
    """A lack of descriptors, memory or ports is told with its remedy, and is not the API's fault."""
    reply = no_reply(raised(number), [])
    assert reply.failure is Failure.OWN
    assert os.strerror(number) in reply.detail
    assert "this process" in reply.detail or "this machine" in reply.detail


@pytest.mark.parametrize("number", OTHERS, ids=errno.errorcode.get)
def test_what_is_not_of_this_process(number: int) -> None:
    """A cut connection and a refused one are not reported as this process's own fault."""
    assert no_reply(raised(number), []).failure is Failure.CUT


@pytest.mark.parametrize("why", ["Hostname mismatch, certificate is not valid for 'x'", "certificate has expired"])
def test_a_certificate_that_is_refused(why: str) -> None:
    """What is wrong with it is told, however long the name of the host is: the remedy hangs on that."""
    key = aiohttp.client_reqrep.ConnectionKey("a" * 250, 443, True, True, None, None, None)
    refused = ssl.SSLCertVerificationError(1, f"[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: {why}")
    reply = no_reply(aiohttp.ClientConnectorCertificateError(key, refused), ())
    assert reply.failure is Failure.CONNECT
    assert why in reply.detail


def test_an_address_of_another_kind() -> None:
    """Without IPv6 a machine says EADDRNOTAVAIL for such an address; that is not a lack of ports."""
    words = "Connect call failed ('2606:4700::6810:84e5', 443, 0, 0)"
    assert no_reply(raised(errno.EADDRNOTAVAIL, words), []).failure is Failure.CUT
    words = "Connect call failed ('93.184.216.34', 443)"
    assert no_reply(raised(errno.EADDRNOTAVAIL, words), []).failure is Failure.OWN


# A process of its own that may open no more files calls, and calls again when it may.
WITHOUT = """
import asyncio, os, resource, sys
from tasks.api.client import SortedApi
from pydantic import SecretStr

async def main():
    api = SortedApi(base_url=sys.argv[1], key=SecretStr("k"), version="1", timeout_s=10, connections=1)
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) - 1, allowed[1]))
    print(await api.close("sg_1"))
    resource.setrlimit(resource.RLIMIT_NOFILE, allowed)
    print(await api.close("sg_1"))
    await api.aclose()

asyncio.run(main())
"""


@pytest.mark.parametrize(("host", "then"), [("127.0.0.1", "HTTP 200"), ("nobody.invalid", "connect_failed")])
async def test_without_descriptors(standin: StandIn, host: str, then: str) -> None:
    """Neither a connection nor a name that cannot be looked up for want of a descriptor is the API's fault."""
    standin.script.append((200, {"reference": REF}))
    command = [sys.executable, "-c", WITHOUT, standin.url.replace("127.0.0.1", host)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    said, _ = await asyncio.wait_for(process.communicate(), 60)
    assert said.decode().splitlines() == ["own_fault", then]


class Clock:
    """A clock that is set by hand; `asked`: somebody has looked at it."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.asked = asyncio.Event()

    def __call__(self) -> float:
        self.asked.set()
        return self.now_s


async def test_a_standstill(caplog: pytest.LogCaptureFixture) -> None:
    """Whatever was begun before it ended is touched by it, and nothing after; it is told once."""
    clock = Clock()
    standstill = Standstill(clock)
    clock.now_s = 1000.0
    assert standstill.since(0.0) == 0.0, "nobody looks yet"
    standstill.watch()
    clock.now_s += 1.0
    assert standstill.since(0.0) == 0.0, "a busy loop is not a standstill"
    began_s = clock.now_s
    clock.now_s += 20.5
    assert standstill.since(began_s) == 20.0
    assert standstill.since(clock.now_s) == 20.0
    assert standstill.since(clock.now_s + 0.1) == 0.0
    assert len(caplog.records) == 1
    standstill.stop()


async def test_a_standstill_that_nobody_asks_about() -> None:
    """The loop looks by itself: what stands still long before a call has nothing to do with it."""
    clock = Clock()
    standstill = Standstill(clock)
    standstill.watch()
    clock.now_s += 20.5
    clock.asked.clear()
    await asyncio.wait_for(clock.asked.wait(), 30)
    clock.now_s += 0.1
    assert standstill.since(clock.now_s) == 0.0
    standstill.stop()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("hang", Failure.OWN),
        ("cut", Failure.OWN),
        ("away", Failure.OWN),
        ((200, b"no gzip", {"Content-Encoding": "gzip"}), Failure.PROTOCOL),
    ],
)
async def test_calls_during_a_standstill(
    standin: StandIn, answer: Answer, expected: Failure, unused_tcp_port: int
) -> None:
    """A call that times out, is cut or cannot connect failed for the standstill; what came back counts as it is."""
    standin.script.append(answer)
    url = f"http://127.0.0.1:{unused_tcp_port}" if answer == "away" else standin.url
    api = SortedApi(base_url=url, key=SecretStr("key"), version="1", timeout_s=0.5, connections=1)
    api._standstill = Standstill(map(float, itertools.count(0, 20)).__next__)  # 20 s pass between two looks
    reply = await api.close(REF)
    await api.aclose()
    assert isinstance(reply, NoReply)
    assert reply.failure is expected


async def test_calls_after_a_standstill(api: SortedApi, standin: StandIn) -> None:
    """A call that was begun after it fails for another reason."""
    clock = Clock()
    api._standstill = Standstill(clock)
    standin.script.extend([CLOSED, "cut"])
    await api.close(REF)
    clock.now_s += 20.5
    api._standstill.since(0.0)
    clock.now_s += 0.1
    reply = await api.close(REF)
    assert isinstance(reply, NoReply)
    assert reply.failure is Failure.CUT


def test_a_defect_is_no_reply_of_the_apis() -> None:
    """An error that is neither the network's nor a lack of this process's is raised again, so that it is seen."""
    defect = LookupError("a defect")
    with pytest.raises(LookupError) as raised_again:
        no_reply(defect, [])
    assert raised_again.value is defect


async def test_to_watch_twice_is_to_watch_once() -> None:
    """A second `watch` changes nothing: the time since the first look counts."""
    clock = Clock()
    standstill = Standstill(clock)
    standstill.watch()
    clock.now_s += 20.5
    standstill.watch()
    assert standstill.since(0.0) == 20.0
    standstill.stop()
