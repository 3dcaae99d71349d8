"""Bytes in a file that has no name, for another process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


@contextmanager
def memory_file(data: bytes) -> Iterator[int]:
    """Its descriptor, while the block runs; nobody can change it. Raises: OSError."""
    fd = os.memfd_create("xenstore-sim-state", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        yield fd
    finally:
        os.close(fd)


def read_memory_file(fd: int) -> bytes:
    """All that is in it; the descriptor is closed. Raises: OSError."""
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        return file.read()
