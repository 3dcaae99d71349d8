"""What is heard of a run: the device model's log, and how far the toolstack came."""

from __future__ import annotations

from collections.abc import Callable

from handoff.addresses import GpaRange
from handoff.descriptor import Descriptor, Role
from handoff.errors import HandoffError
from handoff.report import Report


class Listener:
    """Implements the Progress port; shows nobody anything."""

    def __init__(self, hear: Callable[[str], None]) -> None:
        """hear: takes each line of the device model's log."""
        self._hear = hear
        self.reached: list[tuple[str, str]] = []
        """who came to what, in order"""

    def log(self, source: str, line: str) -> None:
        self._hear(line)

    def stage(self, who: str, what: str, detail: str = "") -> None:
        self.reached.append((who, what))

    def loading(self, role: Role, done: int, total: int) -> None: ...

    def published(self, descriptor: Descriptor, frame: bytes) -> None: ...

    def placed(self, report: Report, ram: tuple[GpaRange, ...]) -> None: ...

    def warning(self, text: str) -> None: ...

    def failed(self, error: HandoffError) -> None: ...
