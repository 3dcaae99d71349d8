"""The daemon's log on disk: lines with their time. It cannot fail the daemon."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final, Self

from xenstore_sim.descriptors import OpenLog

_MODE: Final = 0o600


class LogFile:
    """Appends to files that CONTROL or the command line name.

    Every line is written at once, so that it is there when the machine is not. A file that
    takes no more is tried again with each line: disks are emptied, too.
    """

    def __init__(self, directory: Path, say: Callable[[str], None] | None = None) -> None:
        """directory: where relative names lie. say: tells the operator; None: nobody."""
        self._directory = directory
        self._say = say
        self._path: Path | None = None
        self._fd: int | None = None
        self._failing = False
        """The last line was lost, and the operator knows."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def handed_over(self) -> OpenLog | None:
        """For a program that takes this one's place."""
        return None if self._path is None else OpenLog(str(self._path), self._fd)

    def take_over(self, log: OpenLog | None) -> None:
        """Go on with another program's."""
        if log is not None:
            self._path, self._fd = Path(log.path), log.fd

    def open(self, path: str | None) -> bool:
        """Write to this file from now on, None: to the one before; whether it is open."""
        self.close()
        if path is not None:
            self._path = self._directory / path
        if self._path is None:
            return False
        self._failing = False
        self._fd = self._opened(self._path)
        return self._fd is not None

    def close(self) -> None:
        """Write no more."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def write(self, line: str) -> bool:
        """Add a line; whether it could be written."""
        if self._fd is None:
            return False
        written = self._written(self._fd, f"{datetime.now().isoformat()} {line}\n")
        if not written and not self._failing:
            self.say(f"the log {self._path} takes no more lines: free space on its disk")
        self._failing = not written
        return written

    def append(self, path: str | None, text: str) -> bool:
        """Add a text to this file, None: to that of the log; whether it could be written."""
        target = self._path if path is None else self._directory / path
        fd = None if target is None else self._opened(target)
        if fd is None:
            return False
        try:
            return self._written(fd, text)
        finally:
            os.close(fd)

    def say(self, text: str) -> None:
        """Tell the operator."""
        if self._say is not None:
            self._say(text)

    def _opened(self, path: Path) -> int | None:
        try:
            # A pipe without a reader would stop the daemon for good.
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NONBLOCK
            return os.open(path, flags, _MODE)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            self.say(f"cannot write {str(path)!a}: {reason}")
            return None

    def _written(self, fd: int, text: str) -> bool:
        data = text.encode("utf-8", "backslashreplace")
        try:
            return os.write(fd, data) == len(data)
        except OSError:
            return False
