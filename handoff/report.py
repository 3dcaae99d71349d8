"""What the device model tells the toolstack once it is done: what lies where, and why.

It comes from the stub domain and is untrusted: sizes and counts are capped here, and the
toolstack uses an address of it only after `check_report`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import msgpack

from handoff.addresses import FOUR_GIB, Gpa, GpaRange
from handoff.errors import DescriptorRefused, PeerMisbehaved
from handoff.fields import Fields, unpack_canonical
from handoff.firmware import (
    BIOS_MAX_BYTES,
    BIOS_UNIT_BYTES,
    BiosRom,
    DirectEntry,
    Firmware,
)
from handoff.frame import Frame, FrameKind, decode_frame, encode_frame

NAME_MAX = 64
REASON_MAX = 160
PLACEMENTS_MAX = 64
MOVES_MAX = 64
ROM_MAX_BYTES = 255 * 512


class When(Enum):
    """When the bytes of a placement are at their place."""

    NOW = "now"
    """before the guest's first instruction"""
    BEV = "bev"
    """once the BIOS extension ran"""
    RUN = "run"
    """taken by the kernel itself when it unpacks: nothing else may lie there"""


@dataclass(frozen=True, slots=True)
class PlacedRange:
    name: str
    range: GpaRange
    when: When
    reason: str
    """the rule that put it there, a few words"""


@dataclass(frozen=True, slots=True)
class MovedRange:
    name: str
    source: GpaRange | None
    """None where the bytes did not come from guest RAM"""
    to: GpaRange


@dataclass(frozen=True, slots=True)
class Report:
    method: str
    """how the guest is started: `linux, real mode`"""
    placements: tuple[PlacedRange, ...]
    moves: tuple[MovedRange, ...]
    rom: GpaRange | None
    """the BIOS extension: in its slot (WINDOW) or in staging (GENROMS); None: it is a device's
    (PCI_ROM), or there is none, as firmware boots without a kernel"""
    released_bytes: int
    """staging given back to the host"""
    firmware: Firmware | None = None
    """None: the machine's own, which finds the BIOS extension"""

    def __post_init__(self) -> None:
        if self.rom is not None and self.firmware is not None:
            raise ValueError("cannot have both a rom and firmware")


def encode_report(report: Report, generation: int) -> bytes:
    """The frame that carries `report` for attempt `generation`."""
    payload = msgpack.packb(
        {
            "method": report.method,
            "placements": [
                {
                    "name": placed.name,
                    "start": int(placed.range.start),
                    "size": placed.range.size,
                    "when": placed.when.value,
                    "reason": placed.reason,
                }
                for placed in report.placements
            ],
            "moves": [
                {
                    "name": moved.name,
                    "from": _ranges_map(moved.source),
                    "to": [_range_map(moved.to)],
                }
                for moved in report.moves
            ],
            "rom": _ranges_map(report.rom),
            "bios": [
                _range_map(firmware.range)
                for firmware in (report.firmware,)
                if isinstance(firmware, BiosRom)
            ],
            "entry": [
                {
                    "eip": int(firmware.eip),
                    "ebx": int(firmware.ebx),
                    "acpi": _ranges_map(firmware.acpi),
                    "smbios": _ranges_map(firmware.smbios),
                }
                for firmware in (report.firmware,)
                if isinstance(firmware, DirectEntry)
            ],
            "released": report.released_bytes,
        },
        use_bin_type=True,
    )
    return encode_frame(Frame(FrameKind.REPORT, generation, payload))


def decode_report(frame: bytes) -> tuple[int, Report]:
    """Generation and report of a frame. Raises: DescriptorRefused, nothing else."""
    envelope = decode_frame(frame, FrameKind.REPORT)
    fields = unpack_canonical(envelope.payload)
    method = fields.text("method", NAME_MAX)
    placements = fields.each("placements", PLACEMENTS_MAX, _read_placed)
    moves = fields.each("moves", MOVES_MAX, _read_moved)
    rom = fields.each("rom", 1, _read_range)
    bios = fields.each("bios", 1, _read_range)
    entry = fields.each("entry", 1, _read_entry)
    released = fields.integer("released", 0, 1 << 52)
    fields.done()
    if len(rom) + len(bios) + len(entry) > 1:
        raise DescriptorRefused("rom", "only one of rom, bios and entry may be there")
    firmware = BiosRom(bios[0]) if bios else entry[0] if entry else None
    found = Report(method, placements, moves, rom[0] if rom else None, released, firmware)
    return envelope.generation, found


def check_report(report: Report, ram: Sequence[GpaRange]) -> None:
    """Raises: PeerMisbehaved if the report names bytes outside `ram`, or an oversize ROM or
    BIOS."""
    named = [(f"placement {placed.name}", placed.range) for placed in report.placements]
    for moved in report.moves:
        named.append((f"move of {moved.name}", moved.to))
        if moved.source is not None:
            named.append((f"source of {moved.name}", moved.source))
    if report.rom is not None:
        named.append(("rom", report.rom))
    match report.firmware:
        case BiosRom(where):
            named.append(("bios", where))
        case DirectEntry(eip, ebx) as entry:
            named += [("eip", GpaRange(eip, 1)), ("ebx", GpaRange(ebx, 1))]
            named += [(f"{role.value} tables", where) for role, where in entry.tables]
    for name, where in named:
        if not any(region.contains(where) for region in ram):
            raise PeerMisbehaved(f"the report's {name} {where} is not guest RAM")
    if report.rom is not None and report.rom.size > ROM_MAX_BYTES:
        raise PeerMisbehaved(
            f"the report's rom has {report.rom.size:#x} bytes, an option ROM at most "
            f"{ROM_MAX_BYTES:#x}"
        )
    if isinstance(report.firmware, BiosRom):
        size = report.firmware.range.size
        if size > BIOS_MAX_BYTES or size % BIOS_UNIT_BYTES:
            raise PeerMisbehaved(
                f"the report's bios has {size:#x} bytes, a BIOS a multiple of "
                f"{BIOS_UNIT_BYTES:#x}, at most {BIOS_MAX_BYTES:#x}"
            )


def _range_map(where: GpaRange) -> dict[str, int]:
    return {"start": int(where.start), "size": where.size}


def _ranges_map(where: GpaRange | None) -> list[dict[str, int]]:
    return [] if where is None else [_range_map(where)]


def _read_range(fields: Fields) -> GpaRange:
    return fields.range("start", "size")


def _read_entry(fields: Fields) -> DirectEntry:
    highest = FOUR_GIB - 1
    return DirectEntry(
        Gpa(fields.integer("eip", 0, highest)),
        Gpa(fields.integer("ebx", 0, highest)),
        next(iter(fields.each("acpi", 1, _read_range)), None),
        next(iter(fields.each("smbios", 1, _read_range)), None),
    )


def _read_placed(fields: Fields) -> PlacedRange:
    return PlacedRange(
        fields.text("name", NAME_MAX),
        fields.range("start", "size"),
        fields.choice("when", When),
        fields.text("reason", REASON_MAX),
    )


def _read_moved(fields: Fields) -> MovedRange:
    name = fields.text("name", NAME_MAX)
    source = fields.each("from", 1, _read_range)
    to = fields.each("to", 1, _read_range)
    if not to:
        fields.refuse("to", "must name one range")
    return MovedRange(name, source[0] if source else None, to[0])
