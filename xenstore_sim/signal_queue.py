"""Signals of this process, one after another, none of which a live update may lose."""

import os
import signal
from collections.abc import Iterable
from types import FrameType
from typing import Self

import trio


class SignalQueue:
    """A context manager: while it is entered, these signals wait here; afterwards they act as
    before. trio's own receiver would not say what it has and did not give yet."""

    def __init__(self, numbers: Iterable[signal.Signals]) -> None:
        """To be made and entered in trio's main thread."""
        self._numbers = tuple(numbers)
        self._token = trio.lowlevel.current_trio_token()
        self._came = trio.Event()
        self._waiting: dict[int, None] = {}
        """In the order of coming; one that waits does not wait twice."""

    def __enter__(self) -> Self:
        self._before = [signal.signal(number, self._note) for number in self._numbers]
        # A program that gave its place to this one held them back.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)
        return self

    def __exit__(self, *exc: object) -> None:
        for number, handler in zip(self._numbers, self._before, strict=True):
            signal.signal(number, handler)

    async def get(self) -> int:
        """The next one."""
        while not self._waiting:
            self._came = trio.Event()
            if not self._waiting:
                await self._came.wait()
        return self._take()

    def hold_back(self) -> tuple[int, ...]:
        """Leave those that nobody took, and all that come, to the kernel: until `release`, or for
        the program that becomes of this process. Those that nobody took."""
        signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)
        waiting = tuple(self._waiting)
        while self._waiting:
            os.kill(os.getpid(), self._take())
        return waiting

    def release(self) -> None:
        """Take them again."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._numbers)

    def _take(self) -> int:
        number = next(iter(self._waiting))
        del self._waiting[number]
        return number

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._waiting[number] = None
        # The event of the moment it runs, in trio's own time.
        self._token.run_sync_soon(lambda: self._came.set())
