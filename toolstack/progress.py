"""What the toolstack tells while it works: a port, so that text, JSON and tests can listen."""

from __future__ import annotations

from typing import Protocol

from handoff.addresses import GpaRange
from handoff.descriptor import Descriptor, Role
from handoff.errors import HandoffError
from handoff.report import Report


class Progress(Protocol):
    """Called as things happen; must not block for long and must not raise."""

    def stage(self, who: str, what: str, detail: str = "") -> None:
        """`who` (toolstack, device model, machine) reached `what`."""

    def loading(self, role: Role, done: int, total: int) -> None:
        """Bytes of an image copied so far; may be called from another thread."""

    def published(self, descriptor: Descriptor, frame: bytes) -> None:
        """The offer that was published."""

    def placed(self, report: Report, ram: tuple[GpaRange, ...]) -> None:
        """The checked report of the device model."""

    def warning(self, text: str) -> None:
        """Something the operator should know and that stops nothing."""

    def log(self, source: str, line: str) -> None:
        """A line of another process's log; `line` is printable and bounded."""

    def failed(self, error: HandoffError) -> None:
        """The run is over and this is why; called last."""
