"""A stack belongs to one layer, and a layer's share follows from the kernel's figures and the samples."""

from __future__ import annotations

import pytest

from bench.layers import Layer, layer_of, shares
from bench.samples import Frame, Sample, parse

LIB = "/usr/lib/python3.11"
SITE = "/srv/closer/.venv/lib/python3.11/site-packages"
TREE = "/srv/worker/closer"
THREAD = f"Thread._bootstrap ({LIB}/threading.py:1002)"
LOOP = (
    f"{THREAD};Runtime._main ({TREE}/worker/runtime.py:83);"
    f"BaseEventLoop.run_forever ({LIB}/asyncio/base_events.py:607);"
    f"BaseEventLoop._run_once ({LIB}/asyncio/base_events.py:1922)"
)
RUN = f"{LOOP};Handle._run ({LIB}/asyncio/events.py:80)"
RUNNER = f"{RUN};AttemptPool._run ({TREE}/worker/attempts/pool.py:147)"
KEEP_GOING = f"{RUN};Background._keep_going ({TREE}/worker/process/background.py:138)"
CALL = f"{RUNNER};Attempter._close ({TREE}/tasks/attempt.py:110);SortedApi.close ({TREE}/tasks/api/client.py:74)"
HTTPX = f"{CALL};AsyncClient.send ({SITE}/httpx/_client.py:1629)"
AIOHTTP = f"{HTTPX};ClientSession._request ({SITE}/aiohttp/client.py:819)"
SETTLER = f"{RUN};Settler.run ({TREE}/worker/attempts/settler.py:40)"
REDIS = f"Redis.execute_command ({SITE}/redis/asyncio/client.py:929)"
WRITE = f"_SelectorSocketTransport.write ({LIB}/asyncio/selector_events.py:1057)"
DUMPS = f"dumps ({LIB}/json/__init__.py:238)"
READ = f"{RUN};_SelectorSocketTransport._read_ready ({LIB}/asyncio/selector_events.py:952)"
MAIN = f"_run_module_as_main (<frozen runpy>:198);main ({TREE}/worker/cli/main.py:63)"
CELERY = f"{MAIN};asynloop ({SITE}/celery/worker/loops.py:97)"

STACKS = {
    f"{AIOHTTP};{WRITE}": Layer.WIRE,
    f"{AIOHTTP};BaseEventLoop.call_later ({LIB}/asyncio/base_events.py:720)": Layer.WIRE,
    READ: Layer.WIRE,
    f"{READ};ResponseHandler.data_received ({SITE}/aiohttp/client_proto.py:392)": Layer.WIRE,
    f"{HTTPX};urlparse ({SITE}/httpx/_urlparse.py:210);search ({LIB}/re/__init__.py:176)": Layer.HTTPX,
    f"{HTTPX};send ({SITE}/httpx_aiohttp/transport.py:1);URL.__new__ ({SITE}/yarl/_url.py:9)": Layer.HTTPX,
    f"{CALL};timeout ({LIB}/asyncio/timeouts.py:145)": Layer.CALL,
    f"{CALL};parse_body ({TREE}/tasks/api/reply.py:9);validate ({SITE}/pydantic/main.py:847)": Layer.CALL,
    f"{RUNNER};Queue.get ({LIB}/asyncio/queues.py:158)": Layer.RUNNERS,
    f"{SETTLER};Ledger.settle ({TREE}/tasks/ledger/closures.py:120);{REDIS};{WRITE}": Layer.LEDGER,
    f"{SETTLER};Ledger.settle ({TREE}/tasks/ledger/closures.py:120);{DUMPS}": Layer.LEDGER,
    f"{READ};StreamReaderProtocol.data_received ({LIB}/asyncio/streams.py:285)": Layer.LEDGER,
    f"{RUN};StreamSource.read ({TREE}/worker/intake/stream.py:36);{REDIS}": Layer.INTAKE,
    f"{KEEP_GOING};Sweep.step ({TREE}/worker/dispatch/sweep.py:60)": Layer.SWEEP,
    f"{CALL};Logger.info ({LIB}/logging/__init__.py:1);LogWriter.emit ({TREE}/worker/observe/logs.py:95)": Layer.LOGS,
    f"{CELERY};ack ({SITE}/kombu/transport/redis.py:500);Pipeline.execute ({SITE}/redis/client.py:2233)": Layer.CELERY,
    f"{CELERY};{DUMPS}": Layer.CELERY,
    f"{THREAD};_worker ({LIB}/concurrent/futures/thread.py:81)": Layer.CELERY,
    f"{LOOP};heappop ({LIB}/heapq.py:1)": Layer.LOOP,
    LOOP: Layer.LOOP,
    f"<module> ({TREE}/worker/__main__.py:5)": Layer.REST,
    "<native>": Layer.REST,
}


def stack(text: str) -> tuple[Frame, ...]:
    """The frames of a line as py-spy writes it."""
    return parse(f"thread (7): closer-loop;{text} 1").stack


@pytest.mark.parametrize(("text", "layer"), STACKS.items())
def test_innermost_known_package_decides(text: str, layer: Layer) -> None:
    """What works for any caller counts for its caller; what the loop does by itself, for the loop."""
    assert layer_of(stack(text)) is layer


def test_empty_stack_is_rest() -> None:
    """A thread that was seen without a frame has no layer."""
    assert layer_of(()) is Layer.REST


def test_line_of_samples() -> None:
    """Thread, frames and count are read; a path may have blanks, a frame may have no file."""
    line = "thread (22607): closer-loop;<lambda> (/my files/tasks/api/client.py:9);run (<frozen runpy>:88);<native> 12"
    frames = (Frame("<lambda>", "/my files/tasks/api/client.py"), Frame("run", "<frozen runpy>"), Frame("<native>", ""))
    assert parse(line) == Sample(22607, frames, 12)


def test_line_without_a_thread_is_refused() -> None:
    """Without `--threads` nothing could be divided."""
    with pytest.raises(ValueError, match="not a stack of a thread"):
        parse(f"{CALL} 3")


def test_samples_divide_what_their_thread_used() -> None:
    """A thread that was seen nine times as often as another, and has used as much, counts for as much."""
    samples = [Sample(1, stack(AIOHTTP), 15), Sample(1, stack(CALL), 5), Sample(2, stack(CELERY), 180)]
    found = shares(samples, {1: 2.0, 2: 2.0})
    assert {layer: share for layer, share in found.items() if share} == pytest.approx(
        {Layer.WIRE: 0.375, Layer.CALL: 0.125, Layer.CELERY: 0.5}
    )


def test_nothing_used_is_lost() -> None:
    """What a thread has used that was never seen at work is told as the rest: all shares are the whole."""
    waiting = Sample(1, stack(f"{LOOP};EpollSelector.select ({LIB}/selectors.py:468)"), 50)
    found = shares([waiting, Sample(2, stack(CELERY), 1), Sample(9, stack(CALL), 1)], {1: 1.0, 2: 2.0, 3: 1.0})
    assert (found[Layer.REST], found[Layer.CELERY], sum(found.values())) == (0.5, 0.5, 1.0)


def test_waiting_in_epoll_is_no_work() -> None:
    """A loop that waits in epoll does not count as working, in whichever thread it is."""
    waiting = stack(f"{LOOP};EpollSelector.select ({LIB}/selectors.py:468)")
    assert shares([Sample(1, waiting, 50), Sample(1, stack(CALL), 1)], {1: 1.0})[Layer.CALL] == 1.0


def test_torn_stack_counts_where_it_can_be_told() -> None:
    """Of a stack that was read while it changed, what has no known package is left out; what has one counts."""
    torn = [Sample(1, stack(DUMPS), 7), Sample(1, (), 5), Sample(1, stack(f"{SETTLER};{DUMPS}")[-2:], 1)]
    assert shares([*torn, Sample(1, stack(CALL), 1)], {1: 1.0})[Layer.LEDGER] == 0.5


def test_what_is_none_of_ours_is_the_rest() -> None:
    """A whole stack without any known package counts as the rest, not as a torn stack."""
    foreign = stack(f"_run_module_as_main (<frozen runpy>:198);serve ({SITE}/uvicorn/main.py:1)")
    assert shares([Sample(1, foreign, 1), Sample(1, stack(CALL), 3)], {1: 1.0})[Layer.REST] == 0.25


def test_a_worker_that_did_nothing_has_no_shares() -> None:
    """No CPU cannot be divided."""
    with pytest.raises(ValueError, match="no CPU"):
        shares([Sample(1, stack(CALL), 5)], {1: 0.0})
