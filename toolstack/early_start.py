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

MESSAGE_MAX_BYTES = 256 * 1024
"""What the process takes, as `devicemodel.waiting` has it."""

_STUB_DOMAIN = "device_model_stubdomain_override"
_LOOKED_AT_BYTES = 1 << 20


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
        and not (_on_xen(arguments) and any(map(_asks_for_a_stub_domain, arguments)))
    )


def _on_xen(arguments: Sequence[str]) -> bool:
    """Only there a device model runs anywhere but in a process of this host."""
    return "xen" in arguments or "--machine=xen" in arguments


def _asks_for_a_stub_domain(argument: str) -> bool:
    """Whether this is a setting, or most likely a configuration, with a stub domain."""
    if _STUB_DOMAIN in argument:
        return True
    # What is no regular file may be read once only, and that is not for us.
    if not os.path.isfile(argument):
        return False
    try:
        with open(argument, "rb") as file:
            return _STUB_DOMAIN.encode() in file.read(_LOOKED_AT_BYTES)
    except OSError:
        return False


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
