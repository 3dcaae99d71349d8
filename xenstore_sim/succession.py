"""How a daemon's state and descriptors go to the program that takes its place, and who serves then.

Both ends of a socket pair of packets. One is a copy of the old daemon's process that still serves,
the other belongs to the new program, which has the process's id:

    new: READY     it runs and waits for the state; the copy serves no more from here
    old: STATE     with the number of descriptors, and the state's; then those, in several packets
    new: COMPLETE  it has all that it needs to serve
    old: YOURS     with the id of the copy's process, which ends; or KEPT: too late

Until YOURS the copy can go on as if nothing had been asked, and does where the other end is closed
or says nothing in time. After it the new program serves; it has not read or sent a byte before.
"""

import os
import signal
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NoReturn

from xenstore_sim.memory_file import memory_file, read_memory_file

ANSWER_S: Final = 60.0
"""How long either end waits for the other while nobody serves."""
READY: Final = b"ready"
COMPLETE: Final = b"complete"
_STATE: Final = struct.Struct("=5sI")
_YOURS: Final = struct.Struct("=5si")
_KEPT: Final = b"kept"
_MORE: Final = b"more"
_AT_ONCE: Final = 200
"""Descriptors in one packet: the kernel takes 253."""
_PACKET_MAX: Final = 64


class HandingOverFailed(Exception):
    """The other end does not do its part. The text says what, in ASCII."""


def become(command: Sequence[str], passed: int) -> int:
    """Let this process become that program, while a copy of it goes on from here.

    passed: a descriptor that the program has, too. Returns in the copy alone, the process it is of.
    Raises: OSError, ValueError in the process itself; it is what it was, and there is no copy.
    """
    original = os.getpid()
    # Both ends close by exec, which is how the copy hears of it.
    told, tells = os.pipe()
    try:
        copy = os.fork()
        if not copy:
            os.close(tells)
            tells = -1
            if os.read(told, 1):
                os._exit(0)
            return original
        try:
            os.set_inheritable(passed, True)
            os.execv(command[0], list(command))
        finally:
            os.set_inheritable(passed, False)
            os.write(tells, b"!")
            os.waitpid(copy, 0)
    finally:
        os.close(told)
        if tells >= 0:
            os.close(tells)


def give(end: socket.socket, state: bytes, descriptors: Sequence[int]) -> NoReturn:
    """Hand them over, and end this process when the other program has all.

    Raises: HandingOverFailed, OSError; nothing has changed then.
    """
    end.settimeout(ANSWER_S)
    with memory_file(state) as fd:
        socket.send_fds(end, [_STATE.pack(b"state", len(descriptors))], [fd])
        for at in range(0, len(descriptors), _AT_ONCE):
            socket.send_fds(end, [_MORE], descriptors[at : at + _AT_ONCE])
    answer = end.recv(len(COMPLETE))
    if answer != COMPLETE:
        raise HandingOverFailed("it ended before it had taken over")
    end.send(_YOURS.pack(b"yours", os.getpid()))
    os._exit(0)


def keep(end: socket.socket, original: int) -> None:
    """Let the other program not take over any more. original: what `become` returned."""
    if os.getppid() == original:
        os.kill(original, signal.SIGKILL)
    # It may be the child of what we killed.
    with suppress(OSError):
        end.send(_KEPT)
    end.close()


class Succession:
    """The new program's end."""

    def __init__(self, fd: int) -> None:
        """Raises: OSError, where it is no socket."""
        self._end = socket.socket(fileno=fd)
        self._end.set_inheritable(False)
        self._end.settimeout(ANSWER_S)

    def take(self) -> tuple[bytes, tuple[int, ...]]:
        """The state, and the descriptors. Raises: HandingOverFailed, OSError."""
        self._end.send(READY)
        message, fds = self._receive()
        if len(message) != _STATE.size or len(fds) != 1:
            raise HandingOverFailed("there is no daemon that hands over its state")
        _, count = _STATE.unpack(message)
        descriptors: list[int] = []
        while len(descriptors) < count:
            _, more = self._receive()
            descriptors += more
        return read_memory_file(fds[0]), tuple(descriptors)

    def _receive(self) -> tuple[bytes, list[int]]:
        message, fds, flags, _ = socket.recv_fds(self._end, _PACKET_MAX, _AT_ONCE)
        for fd in fds:
            # By hand: recv_fds of Python 3.11 passes no flags on.
            os.set_inheritable(fd, False)
        if flags & socket.MSG_CTRUNC:
            raise HandingOverFailed(
                "not all descriptors can be opened: raise the bound of open files (ulimit -n)"
            )
        if not message:
            raise HandingOverFailed("the daemon that hands over is gone")
        return message, fds

    def complete(self) -> int | None:
        """Say that all is here; from the return on, this program serves.

        The id of the process that ends now; None: it was gone already.
        Raises: HandingOverFailed, OSError.
        """
        with self._end as end:
            end.send(COMPLETE)
            message = end.recv(_PACKET_MAX)
        if not message:
            return None
        if message == _KEPT:
            raise HandingOverFailed("the daemon that hands over did not wait so long")
        _, pid = _YOURS.unpack(message)
        return int(pid)
