"""Progress to several listeners."""

from __future__ import annotations

from dataclasses import dataclass

from handoff.addresses import GpaRange
from handoff.descriptor import Descriptor, Role
from handoff.errors import HandoffError
from handoff.report import Report
from toolstack.progress import Progress


@dataclass(frozen=True, slots=True)
class Tee:
    """Implements the Progress port by handing everything on."""

    listeners: tuple[Progress, ...]

    def stage(self, who: str, what: str, detail: str = "") -> None:
        for listener in self.listeners:
            listener.stage(who, what, detail)

    def loading(self, role: Role, done: int, total: int) -> None:
        for listener in self.listeners:
            listener.loading(role, done, total)

    def published(self, descriptor: Descriptor, frame: bytes) -> None:
        for listener in self.listeners:
            listener.published(descriptor, frame)

    def placed(self, report: Report, ram: tuple[GpaRange, ...]) -> None:
        for listener in self.listeners:
            listener.placed(report, ram)

    def warning(self, text: str) -> None:
        for listener in self.listeners:
            listener.warning(text)

    def log(self, source: str, line: str) -> None:
        for listener in self.listeners:
            listener.log(source, line)

    def failed(self, error: HandoffError) -> None:
        for listener in self.listeners:
            listener.failed(error)
