"""A guest's serial port, which its QEMU writes to a file."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Seen:
    """A line and when it was there, by time.monotonic."""

    text: str
    at_s: float


class SerialLog:
    """Lines of a port, as they come."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)

    def text(self) -> str:
        return self.path.read_text("latin-1") if self.path.exists() else ""

    def wait_for(self, beginning: str, timeout_s: float) -> Seen:
        """The first line that has `beginning`, with the rest of it. Raises: TimeoutError."""
        deadline = time.monotonic() + timeout_s
        while True:
            for line in self.text().split("\n")[:-1]:
                # The kernel's lines and the guest's may begin in the middle of each other.
                _, found, rest = line.rstrip("\r").partition(beginning)
                if found:
                    return Seen(rest, time.monotonic())
            if time.monotonic() > deadline:
                last = self.text()[-600:]
                raise TimeoutError(f"no {beginning!r} within {timeout_s:g} s, but {last!r}")
            time.sleep(_POLL_S)
