"""Tells whoever started the daemon that it serves: a descriptor, systemd, a pid file."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from xenstore_sim.process_id import write_process_id

_MODE: Final = 0o666
"""Less what the umask takes: anybody may know the process."""


class ReadinessError(Exception):
    """Somebody who asked could not be told."""

    def __init__(self, whom: str, reason: str, remedy: str) -> None:
        super().__init__(whom, reason, remedy)
        self.whom = whom
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.whom}: {self.reason}: {self.remedy}"


def report_ready(fd: int) -> None:
    """Write a line to this descriptor, and close it. Raises: ReadinessError."""
    with _told(f"--ready-fd {fd}", "give it an open one with a reader"):
        os.write(fd, b"ready\n")
        os.close(fd)


def notify_manager(address: str) -> None:
    """Say READY=1 to the service manager. Raises: ReadinessError.

    address: the value of NOTIFY_SOCKET; a leading @ stands for the abstract namespace.
    Source: sd_notify(3).
    """
    name = f"\0{address[1:]}" if address.startswith("@") else address
    with (
        _told(f"NOTIFY_SOCKET={address}", "unset it where no service manager waits"),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager,
    ):
        manager.sendto(b"READY=1", name)


class PidFile:
    """A file with our process id, once that is written, until the block ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written = False

    def write(self) -> None:
        """Let it name this process. Raises: ReadinessError."""
        with _told(f"the pid file {self.path}", "name one in a writable directory"):
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, _MODE)
            try:
                write_process_id(fd)
            finally:
                os.close(fd)
        self._written = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._written:
            self.path.unlink(missing_ok=True)


@contextmanager
def _told(whom: str, remedy: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReadinessError(whom, error.strerror or str(error), remedy) from error
