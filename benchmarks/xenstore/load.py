"""The client of all daemons, in C: its own cost must be small beside theirs, and the same."""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.xenstore.steps import ANY, Step

PORTS_MAX = 256


class LoadFailed(Exception):
    """A daemon did not answer as it must."""


class _Port(ctypes.Structure):
    _fields_ = (("page", ctypes.c_void_p), ("fd", ctypes.c_int32), ("bell", ctypes.c_int32))


class _Step(ctypes.Structure):
    _fields_ = (
        ("kind", ctypes.c_uint32),
        ("port", ctypes.c_uint32),
        ("bytes", ctypes.c_void_p),
        ("size", ctypes.c_uint32),
        ("messages", ctypes.c_uint32),
        ("type", ctypes.c_uint32),
        ("tx", ctypes.c_uint32),
        ("expected", ctypes.c_char_p),
        ("expected_size", ctypes.c_uint32),
    )


class _Taken(ctypes.Structure):
    _fields_ = (("rounds", ctypes.c_uint64), ("nanoseconds", ctypes.c_uint64))


@dataclass(frozen=True, slots=True)
class Taken:
    """What was played."""

    rounds: int
    seconds: float


class Ports:
    """The connections of one client, by their numbers."""

    def __init__(self) -> None:
        self.table = (_Port * PORTS_MAX)()
        self._next = 0

    def add(self, fd: int = -1, bell: int = -1, page: int | None = None) -> int:
        """The number of a new one. page: address of a ring, else `fd` is a socket."""
        number = self._next
        if number == PORTS_MAX:
            raise LoadFailed(f"more than {PORTS_MAX} connections of one client")
        self._next += 1
        self.table[number] = _Port(page, fd, bell)
        return number

    def mark(self) -> int:
        """For `cut`."""
        return self._next

    def cut(self, mark: int) -> None:
        """Forget those that came after the mark."""
        self._next = mark


class Round:
    """Steps in the shape that C plays."""

    def __init__(self, steps: Sequence[Step], *, answers_checked: bool) -> None:
        self.count = len(steps)
        # C writes the transaction's number into them.
        self._sent = [ctypes.create_string_buffer(step.sent, len(step.sent)) for step in steps]
        self.table = (_Step * self.count)(
            *(
                _Step(
                    step.kind,
                    step.port,
                    ctypes.addressof(sent),
                    len(step.sent),
                    step.messages,
                    step.type if answers_checked else ANY,
                    step.tx,
                    step.expected if answers_checked else None,
                    len(step.expected or b""),
                )
                for step, sent in zip(steps, self._sent, strict=True)
            )
        )


class Load:
    """The compiled client."""

    def __init__(self, library: Path) -> None:
        loaded = ctypes.CDLL(str(library))
        self._play = loaded.load_play
        self._play.argtypes = (
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_uint,
            ctypes.c_uint64,
            ctypes.c_void_p,
        )
        self._error = loaded.load_error
        self._error.restype = ctypes.c_char_p

    def play(self, ports: Ports, played: Round, seconds: float) -> Taken:
        """Play the round again and again for so long, at least once. Raises: LoadFailed."""
        taken = _Taken()
        nanoseconds = round(seconds * 1e9)
        if self._play(ports.table, played.table, played.count, nanoseconds, ctypes.byref(taken)):
            raise LoadFailed(self._error().decode(errors="replace"))
        return Taken(taken.rounds, taken.nanoseconds / 1e9)
