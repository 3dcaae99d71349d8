"""Tells whoever started the daemon that it serves: a descriptor, systemd, a pid file."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def report_ready(fd: int) -> None:
    """Write a line to this descriptor, and close it."""
    os.write(fd, b"ready\n")
    os.close(fd)


def notify_manager(address: str) -> None:
    """Say READY=1 to the service manager. Raises: OSError.

    address: the value of NOTIFY_SOCKET; a leading @ stands for the abstract namespace.
    Source: sd_notify(3).
    """
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
        manager.sendto(b"READY=1", address)


@contextmanager
def pid_file(path: Path) -> Iterator[None]:
    """Our process id in this file while the block runs. Raises: OSError."""
    path.write_text(f"{os.getpid()}\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
