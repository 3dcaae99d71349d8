"""What the toolstack and the emulator's process tell each other: one JSON line a message.

The process runs guest code, so the toolstack takes nothing from it that is longer than
LINE_MAX_BYTES, nor anything but the messages below.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TypeAlias

from handoff.addresses import Gpa, GpaRange
from handoff.e820 import E820Entry, E820Map, E820Type
from handoff.firmware import BiosRom, DirectEntry, Firmware
from handoff.guest_ram import RamRegion
from toolstack.machine.emulator.stop import StopReason

LINE_MAX_BYTES = 1 << 16
TEXT_MAX = 2000
"""Longest text in a message, characters."""
UNPAUSE = b"unpause\n"


@dataclass(frozen=True, slots=True)
class Start:
    """All that the process needs; its one command-line argument."""

    ram_fd: int
    console_fd: int
    control_fd: int
    parent_pid: int
    sandbox: str
    """value of a handoff.confinement.Mode"""
    regions: tuple[RamRegion, ...]
    e820: E820Map
    ioreq_fd: int | None
    """ioreq channel to the device model, if it serves devices"""
    quiet_cpu_s: float
    """CPU seconds without an access to a device after which the guest is taken to wait for an
    interrupt"""
    firmware: Firmware | None = None
    """to start in place of the BIOS in Python"""

    def to_argument(self) -> str:
        return json.dumps(
            {
                "fds": [self.ram_fd, self.console_fd, self.control_fd],
                "ioreq": self.ioreq_fd,
                "parent": self.parent_pid,
                "sandbox": self.sandbox,
                "quiet": self.quiet_cpu_s,
                "firmware": _firmware(self.firmware),
                "regions": [[r.range.start, r.range.size, r.file_offset] for r in self.regions],
                "e820": [
                    [entry.range.start, entry.range.size, entry.type] for entry in self.e820.entries
                ],
            }
        )

    @classmethod
    def from_argument(cls, argument: str) -> Start:
        """What `to_argument` made. Raises: ValueError, KeyError, TypeError."""
        raw = json.loads(argument)
        ram_fd, console_fd, control_fd = raw["fds"]
        regions = tuple(
            RamRegion(GpaRange(Gpa(start), size), offset) for start, size, offset in raw["regions"]
        )
        entries = (
            E820Entry(GpaRange(Gpa(start), size), E820Type(kind))
            for start, size, kind in raw["e820"]
        )
        return cls(
            ram_fd=ram_fd,
            console_fd=console_fd,
            control_fd=control_fd,
            ioreq_fd=raw["ioreq"],
            parent_pid=raw["parent"],
            sandbox=raw["sandbox"],
            regions=regions,
            e820=E820Map.of(entries),
            quiet_cpu_s=raw["quiet"],
            firmware=_to_firmware(raw["firmware"]),
        )


def _firmware(firmware: Firmware | None) -> dict[str, int] | None:
    match firmware:
        case None:
            return None
        case BiosRom(where):
            return {"start": where.start, "size": where.size}
        case DirectEntry(eip, ebx):
            return {"eip": eip, "ebx": ebx}


def _to_firmware(raw: dict[str, int] | None) -> Firmware | None:
    if raw is None:
        return None
    if "eip" in raw:
        return DirectEntry(Gpa(raw["eip"]), Gpa(raw["ebx"]))
    return BiosRom(GpaRange(Gpa(raw["start"]), raw["size"]))


@dataclass(frozen=True, slots=True)
class Ready:
    """Confined and paused at the reset vector."""

    sandbox: tuple[str, ...]
    """lines of the confinement report"""


@dataclass(frozen=True, slots=True)
class Log:
    text: str


@dataclass(frozen=True, slots=True)
class End:
    """The guest stopped; the process's last message."""

    reason: StopReason
    detail: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The process could not do its work; its last message."""

    text: str


Message: TypeAlias = Ready | Log | End | Failed


class BadMessage(ValueError):
    """A line that is none of the messages."""


def encode(message: Message) -> bytes:
    """One line, at most LINE_MAX_BYTES."""
    match message:
        case Ready(sandbox):
            body: list[object] = ["ready", [line[:200] for line in sandbox[:40]]]
        case Log(text):
            body = ["log", text[:TEXT_MAX]]
        case End(reason, detail):
            body = ["end", reason.name, detail[:TEXT_MAX]]
        case Failed(text):
            body = ["failed", text[:TEXT_MAX]]
    line = json.dumps(body).encode() + b"\n"
    assert len(line) <= LINE_MAX_BYTES, len(line)
    return line


def decode(line: bytes) -> Message:
    """The message of one line, without its end. Raises: BadMessage."""
    try:
        body = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"not JSON: {line[:40]!r}") from error
    match body:
        case ["ready", [*lines]] if all(isinstance(text, str) for text in lines):
            return Ready(tuple(lines))
        case ["log", str(text)]:
            return Log(text)
        case ["end", str(reason), str(detail)] if reason in StopReason.__members__:
            return End(StopReason[reason], detail)
        case ["failed", str(text)]:
            return Failed(text)
        case _:
            raise BadMessage(f"unknown message {line[:40]!r}")
