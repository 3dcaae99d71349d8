"""A text stream whose reader may be slow, but not for ever: nobody who does not read progress
keeps a guest from its end."""

from __future__ import annotations

import select
import time
from contextlib import suppress
from typing import IO, cast

PATIENCE_S = 5.0
"""How long a run waits, all in all, for readers that do not read."""
_PORTION = 1024
"""Characters, of at most four bytes: a pipe that is writable takes PIPE_BUF bytes at once."""


def patient(stream: IO[str]) -> IO[str]:
    """`stream` as a PatientStream, which is all of a stream that progress uses."""
    return cast(IO[str], PatientStream(stream))


class PatientStream:
    """Writes what the other end takes. Once it has let `patience_s` seconds pass without
    reading, all in all, what it does not take at once is dropped: whole writes, or the end of
    the one it stopped in."""

    def __init__(self, stream: IO[str], patience_s: float = PATIENCE_S) -> None:
        """stream: nothing else is written to it meanwhile."""
        self._stream = stream
        self._left_s = patience_s
        self._fd: int | None = None
        # One without a descriptor is memory, and takes everything.
        with suppress(OSError, ValueError):
            self._fd = stream.fileno()

    def write(self, text: str) -> int:
        """All of `text` is dealt with when this returns. Raises: OSError."""
        if self._fd is None:
            return self._stream.write(text)
        for at in range(0, len(text), _PORTION):
            if not self._writable():
                break
            self._stream.write(text[at : at + _PORTION])
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        if self._fd is None:
            self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def _writable(self) -> bool:
        assert self._fd is not None
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        began = time.monotonic()
        # An end that hung up is writable, too: the write then says so.
        ready = bool(poll.poll(self._left_s * 1000))
        self._left_s = max(0.0, self._left_s - (time.monotonic() - began))
        return ready
