"""The standard streams and the arguments of the process, whatever state a shell or a supervisor left them in.

A stream that is closed is replaced by /dev/null, so that no connection gets its descriptor. What a stream cannot take
is dropped, and never ends a command in the middle of its work.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, BinaryIO, TextIO

_STDIN, _STDOUT, _STDERR = range(3)
_ERRORS = "closer"  # the name of `_spelt` for Python's codecs
_SPELT = {"→": "->", "…": "...", "·": "-"}


class NotUtf8(ValueError):
    """An argument of the command line is not UTF-8."""


class Output(io.TextIOBase):
    """Stands before stdout or stderr, and never raises OSError or UnicodeError.

    `lost`: why something could not be written; from then on nothing is. `needed`: whether a command whose output is
    lost has failed.
    """

    def __init__(self, behind: TextIO | None, descriptor: int) -> None:
        """`behind`: the stream that it writes to, None for one that was closed at the start; its descriptor beside it.

        What the stream's encoding lacks is written in other words, or escaped.
        """
        self._closed = behind is None
        self._behind = behind or open(descriptor, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        if isinstance(self._behind, io.TextIOWrapper):
            self._behind.reconfigure(errors=_ERRORS)
        self.lost: OSError | None = None
        self.needed = True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream behind."""
        return self._behind.encoding

    def writable(self) -> bool:
        """Return True."""
        return True

    def isatty(self) -> bool:
        """Return whether the stream behind is a terminal."""
        return self._behind.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the stream behind. Raises OSError if it was closed: an export needs one."""
        if self._closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._behind.fileno()

    def write(self, text: str) -> int:
        """Write the text, or drop it. Returns the number of its characters."""
        self.attempt(lambda: self._behind.write(text))
        return len(text)

    def flush(self) -> None:
        """Write out what the stream behind still holds, or drop it."""
        self.attempt(self._behind.flush)

    @property
    def buffer(self) -> io.RawIOBase:
        """The same for bytes, which click prints where it completes commands."""
        return _Bytes(self, self._behind.buffer)

    def attempt(self, act: Callable[[], object]) -> None:
        """Write something by `act`, unless something was lost before."""
        if self.lost is None:
            try:
                act()
            except OSError as error:
                self.lost = error

    @property
    def complaint(self) -> str:
        """What to tell an operator when output is lost; "" when nothing is, or its reader wanted no more of it."""
        if self.lost is None or self.lost.errno == errno.EPIPE or not self.needed:
            return ""
        return (
            f"the output could not be written ({os.strerror(self.lost.errno or 0)}), so it is not complete.\n"
            "The command did not stop for that. Look at `closer status` and `closer audit` before you run it again."
        )


class _Bytes(io.RawIOBase):
    """What an `Output` does, for bytes."""

    def __init__(self, output: Output, behind: BinaryIO) -> None:
        self._output = output
        self._behind = behind

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._output.attempt(lambda: self._behind.write(data))
        return len(data)

    def flush(self) -> None:
        self._output.attempt(self._behind.flush)


def take_over() -> Output:
    """Put an `Output` before stdout and stderr, and open the descriptors that are closed. Returns that of stdout."""
    _open_closed()
    codecs.register_error(_ERRORS, _spelt)
    sys.stdin = sys.stdin or open(_STDIN, encoding="utf-8", closefd=False)  # noqa: SIM115  (open as long as the process)
    out = Output(sys.stdout, _STDOUT)
    sys.stdout = out
    sys.stderr = Output(sys.stderr, _STDERR)
    return out


def nobody_reads() -> bool:
    """Return whether stdout takes nothing more, so that a long list need not go on."""
    return isinstance(sys.stdout, Output) and sys.stdout.lost is not None


def output_is_optional() -> None:
    """Have the command not fail when its output cannot be written: the exit code is its answer."""
    if isinstance(sys.stdout, Output):
        sys.stdout.needed = False


def decoded(arguments: Sequence[str]) -> list[str]:
    """Return the arguments of the command line read as UTF-8, whatever the locale is.

    Raises NotUtf8, which shows the one that is not UTF-8: the store and the audit keep text only.
    """
    return [_decoded(argument) for argument in arguments]


def as_text(name: str) -> str:
    """Return what came from the environment as text; bytes that are not UTF-8 are written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace") if _is_undecoded(name) else name


def _decoded(argument: str) -> str:
    if not _is_undecoded(argument):
        return argument
    raw = os.fsencode(argument)
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotUtf8(f"the argument {ascii(raw)[1:]} is not UTF-8 at byte {error.start}; nothing was done") from None


def _is_undecoded(text: str) -> bool:
    """Return whether Python could not read bytes of it in the locale's encoding, and holds them as surrogates."""
    return any("\udc80" <= char <= "\udcff" for char in text)


def _open_closed() -> None:
    descriptor = 0
    while descriptor <= _STDERR:
        descriptor = os.open(os.devnull, os.O_RDWR)
        with suppress(OSError):
            os.set_inheritable(descriptor, descriptor <= _STDERR)
    os.close(descriptor)


def _spelt(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wrong = error.object[error.start : error.end]
    return "".join(_SPELT.get(char) or ascii(char)[1:-1] for char in wrong), error.end
