"""A file whose lock one process holds, and with it all to whom it hands the descriptor on."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_HOLDER_MAX_BYTES = 32


class Held(Exception):
    """Somebody else holds it; the text is its process, `unknown` if that is not there yet."""


@contextmanager
def lock_file(path: Path) -> Iterator[int]:
    """The descriptor by which the lock of `path` is held; the file is made if need be.

    Raises: Held; OSError if there is no such directory.
    """
    fd = _locked(path)
    try:
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode("ascii"), 0)
        yield fd
    finally:
        os.close(fd)


def _locked(path: Path) -> int:
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Its holder may have removed it and let go in between: then it keeps nobody out.
            if os.fstat(fd).st_nlink > 0:
                return fd
        except BlockingIOError as error:
            holder = os.pread(fd, _HOLDER_MAX_BYTES, 0).decode("ascii", "replace").strip()
            os.close(fd)
            raise Held(holder or "unknown") from error
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
