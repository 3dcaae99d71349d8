"""A device model's interpreter, started before our own modules are imported.

Two interpreters with their imports are most of what a boot costs besides the guest's own time;
started like this they come up side by side. The process waits on a channel for its arguments
and descriptors (devicemodel/waiting.py) and ends when the channel does. What a process must not
be given before it is known what it is for, it is not given: it holds standard streams and the
channel. This module imports next to nothing, or it would be too late.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Sequence


class WaitingProcess:
    """A device model that waits to be told what it is for."""

    __slots__ = ("channel", "pid")

    def __init__(self, pid: int, channel: socket.socket) -> None:
        self.pid = pid
        self.channel = channel

    def abandon(self) -> None:
        """Ends and reaps a process that was never told; one that was is somebody else's."""
        if self.channel.fileno() >= 0:
            self.channel.close()
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)


def wanted(arguments: Sequence[str]) -> bool:
    """Whether these command-line arguments will most likely need our device model."""
    return (
        arguments[:1] in (["create"], ["demo"])
        and not {"-h", "--help"} & set(arguments)
        and not any(word.startswith(("--device-model", "--rom")) for word in arguments)
    )


def start_waiting() -> WaitingProcess | None:
    """The process; None if it cannot be started, which whoever starts it later will tell."""
    ours, theirs = socket.socketpair()
    try:
        theirs.set_inheritable(True)
        argv = [sys.executable, "-I", "-m", "devicemodel"]
        argv += ["--wait-fd", str(theirs.fileno()), "--parent", str(os.getpid())]
        # posix_spawn: subprocess alone would cost a tenth of what is gained.
        return WaitingProcess(os.posix_spawn(argv[0], argv, {}, setsid=True), ours)
    except OSError:
        ours.close()
        return None
    finally:
        theirs.close()
