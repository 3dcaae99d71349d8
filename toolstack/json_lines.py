"""Progress for programs: one JSON object a line. The forms are in docs/schemas/."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import IO, Any

from handoff.addresses import GpaRange
from handoff.descriptor import Descriptor, Role
from handoff.errors import HandoffError
from handoff.firmware import BiosRom, DirectEntry, Firmware
from handoff.report import Report


class JsonProgress:
    """Implements the Progress port. Every object has `event` and `seconds`; addresses and
    sizes are numbers."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._start = time.monotonic()

    def emit(self, event: str, **fields: Any) -> None:
        """Writes one object."""
        seconds = round(time.monotonic() - self._start, 6)
        line = json.dumps({"event": event, "seconds": seconds, **fields})
        # Whoever reads this may hang up; the guest is not ended for that.
        with suppress(OSError):
            self._stream.write(line + "\n")
            self._stream.flush()

    def stage(self, who: str, what: str, detail: str = "") -> None:
        self.emit("stage", who=who, stage=what, detail=detail)

    def loading(self, role: Role, done: int, total: int) -> None:
        if done == total:
            self.emit("loading", role=role.value, done=done, total=total)

    def published(self, descriptor: Descriptor, frame: bytes) -> None:
        self.emit(
            "published",
            platform=descriptor.platform.value,
            insert=descriptor.insert.value,
            frame_bytes=len(frame),
            images=[
                {
                    "role": image.role.value,
                    **_range(image.range),
                    "digest": image.digest.hex(),
                }
                for image in descriptor.images
            ],
        )

    def placed(self, report: Report, ram: tuple[GpaRange, ...]) -> None:
        self.emit(
            "placed",
            method=report.method,
            placements=[
                {
                    "name": placed.name,
                    **_range(placed.range),
                    "when": placed.when.value,
                    "reason": placed.reason,
                }
                for placed in report.placements
            ],
            moves=[
                {
                    "name": moved.name,
                    "from": None if moved.source is None else _range(moved.source),
                    "to": _range(moved.to),
                }
                for moved in report.moves
            ],
            rom=None if report.rom is None else _range(report.rom),
            firmware=_firmware(report.firmware),
            released=report.released_bytes,
        )

    def warning(self, text: str) -> None:
        self.emit("warning", text=text)

    def log(self, source: str, line: str) -> None:
        self.emit("log", source=source, line=line)

    def failed(self, error: HandoffError) -> None:
        self.emit("failed", kind=error.kind, exit_code=error.exit_code, text=str(error))


def _firmware(firmware: Firmware | None) -> dict[str, object] | None:
    match firmware:
        case None:
            return None
        case BiosRom(where):
            return {"bios": _range(where)}
        case DirectEntry(eip, ebx) as entry:
            tables = {role.value: _range(where) for role, where in entry.tables}
            return {"eip": int(eip), "ebx": int(ebx), **tables}


def _range(where: GpaRange) -> dict[str, int]:
    return {"start": int(where.start), "size": where.size}
