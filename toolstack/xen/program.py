"""A program of this host, run to its end: of what it says, no more is kept than anybody reads."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import trio

from handoff.single_error import innermost

KEPT_BYTES: Final = 64 << 10
"""Of a stream's beginning, and as much of its end."""

TERM_S: Final = 5.0
"""What is told to end has so long to do it, before it is killed."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A program that ended by itself."""

    status: int
    stdout: bytes
    stderr: bytes


class Said:
    """The beginning and the end of a stream, whatever its length."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept = kept_bytes
        self._first = bytearray()
        self._last = bytearray()
        self._lost = False

    def add(self, data: bytes) -> None:
        room = self._kept - len(self._first)
        self._first += data[:room]
        self._last += data[room:]
        if len(self._last) > self._kept:
            del self._last[: -self._kept]
            self._lost = True

    def content(self) -> bytes:
        """Where some of it was lost, a line says so."""
        gap = b"\n[...]\n" if self._lost else b""
        return bytes(self._first + gap + self._last)


async def run_to_end(
    argv: Sequence[str],
    limit_s: float,
    *,
    stdin: int = subprocess.DEVNULL,
    stderr: int = subprocess.PIPE,
) -> Ended | None:
    """What became of it; None if it did not end within `limit_s` seconds, and was killed.

    It has a session of its own: an interrupt at our terminal is ours to pass on.
    stdin: a descriptor. stderr: subprocess.STDOUT has it in one stream with standard output.
    Raises: OSError if it cannot be started.
    """
    stdout, errors = Said(), Said()
    start = partial(
        trio.run_process,
        list(argv),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        check=False,
        start_new_session=True,
        deliver_cancel=_end,
    )
    try:
        with trio.move_on_after(limit_s) as limit:
            async with trio.open_nursery() as nursery:
                process: trio.Process = await nursery.start(start)
                nursery.start_soon(_read, process.stdout, stdout)
                nursery.start_soon(_read, process.stderr, errors)
    except BaseExceptionGroup as group:
        if isinstance(cause := innermost(group), OSError):
            raise cause from cause.__cause__
        raise
    if limit.cancelled_caught:
        return None
    assert process.returncode is not None
    return Ended(process.returncode, stdout.content(), errors.content())


async def _end(process: trio.Process) -> None:
    """As trio itself does it, but without a warning of its own among our lines."""
    process.terminate()
    with trio.move_on_after(TERM_S):
        await process.wait()
        return
    process.kill()


async def _read(stream: trio.abc.ReceiveStream | None, into: Said) -> None:
    if stream is not None:
        async for data in stream:
            into.add(bytes(data))
