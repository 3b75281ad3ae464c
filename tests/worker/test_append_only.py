"""Reading append-only files: where they can no longer be read, and whether anything readable follows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.store.append_only import Reading, read


def command(*words: bytes) -> bytes:
    """A command as Valkey writes it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


SET = command(b"SET", b"key", b"value")
MULTI, EXEC = command(b"MULTI"), command(b"EXEC")
BLOCK = MULTI + SET + SET + EXEC
TOLD = command(b"RPUSH", b"rejected", SET)  # a text of the protocol inside a value


@pytest.mark.parametrize(
    "data",
    [b"", SET, SET + BLOCK, BLOCK + SET, TOLD, b"#TS:1700000000\r\n" + SET, command(b"exec"), command(b"SET", b"")],
)
def test_whole(data: bytes) -> None:
    """Whole commands and transactions are read to the end."""
    assert read(data) == Reading(len(data), len(data))
    assert read(data).whole


@pytest.mark.parametrize(
    "rest", [SET[:length] for length in range(1, len(SET))] + [MULTI, MULTI + SET, BLOCK[:-1], b"#T"]
)
def test_short(rest: bytes) -> None:
    """One command or transaction without its end is told as short; what stands before it is sound."""
    assert read(BLOCK + rest) == Reading(len(BLOCK + rest), len(BLOCK), short=True)


@pytest.mark.parametrize(
    "rest",
    [
        bytes(1), bytes(4096), b"\xff\xfe garbage \r\n", b"*0\r\n", b"*x\r\n", b"*3\r\n$x", b"*" + b"1" * 40, b"\r\n",
        SET[:20] + bytes(512), MULTI + SET + bytes(512), SET[:-2] + b"xx", b"*3\r\n*3\r\n",
    ],
)  # fmt: skip
def test_damaged_at_the_end(rest: bytes) -> None:
    """Zeros and garbage behind the last command are damage that nothing readable follows; a block is cut off whole."""
    assert read(BLOCK + rest) == Reading(len(BLOCK + rest), len(BLOCK))


@pytest.mark.parametrize(
    "damage",
    [bytes(8), b"garbage", b"*3\r\n$x\r\n", b"*3\r\n$99999\r\n", b"*9999\r\n$3\r\nSET\r\n", SET[:14], MULTI + bytes(8)],
)
def test_damaged_in_the_middle(damage: bytes) -> None:
    """Where a whole command follows the damage, also behind a length that is too large, that is told."""
    data = BLOCK + damage + SET
    found = read(data)
    assert (found.sound, found.short) == (len(BLOCK), False)
    assert found.resumes == data.rindex(SET)


@given(st.binary(max_size=64), st.integers(0, len(BLOCK + SET)))
def test_any_bytes(rest: bytes, cut: int) -> None:
    """No bytes raise an error, and what is sound is a beginning that is read to its own end."""
    data = (BLOCK + SET)[:cut] + rest
    found = read(data)
    assert 0 <= found.sound <= found.size == len(data)
    assert read(data[: found.sound]).whole
