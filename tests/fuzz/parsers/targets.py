"""What is fuzzed: one function of bytes for each parser. Any exception that leaves it is a find.

The first bytes of some inputs are choices, the rest is what the parser reads. Each target returns
what came of the input, so that a test can tell a seed that is understood from one that is refused.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Final

from devicemodel.bios_extension.block_codec import decode as decode_block
from devicemodel.bios_extension.block_codec import encode as encode_block
from devicemodel.discover import Discovered, discover
from devicemodel.fw_cfg.device import PORTS
from devicemodel.fw_cfg.option_roms import OptionRoms
from devicemodel.images.auto import recognise
from devicemodel.images.compression import Damaged, Format, unpack
from devicemodel.images.elf import read_elf
from devicemodel.images.elf_notes import read_xen_notes
from devicemodel.images.linux import LinuxKernel
from devicemodel.images.multiboot_header import by_addresses, find_header, multiboot_2_offset
from devicemodel.images.pvh import PvhKernel
from devicemodel.images.setup_header import HEAD_BYTES, read_setup_header
from devicemodel.images.source import Image
from devicemodel.insert import insert
from devicemodel.io_dispatch import IoDispatch
from devicemodel.move import move
from devicemodel.place import place
from devicemodel.ready import ready, report
from devicemodel.verify import verify
from handoff.addresses import FOUR_GIB, MIB, Gpa, GpaRange, first_overlap
from handoff.carriers import base64_chunks
from handoff.descriptor import BootMethod, Descriptor, EntryMode, Insert, Role, Subarch
from handoff.descriptor_codec import decode_descriptor, encode_descriptor
from handoff.errors import HandoffError, LayoutError, PeerMisbehaved, RamAccessError
from handoff.firmware import DirectEntry
from handoff.frame import Frame, FrameKind, encode_frame
from handoff.guest_ram import MemfdRam
from handoff.ioreq import IOREQ_BYTES, decode_request
from handoff.layouts.frame import HEADER_BYTES
from handoff.platforms import (
    Platform,
    Until,
    ranges,
)
from handoff.report import check_report, decode_report, encode_report
from tests.builders import outcome
from tests.fuzz.parsers.guests import (
    MEMORY_BYTES,
    empty_ram,
    fw_cfg_device,
    guest_descriptor,
    option_roms,
    stage,
)

IMAGE_MAX_BYTES: Final = 4 * MIB
LINE_MAX: Final = 600
"""Longest line a person is shown."""
_AT: Final = 2 * MIB
_GENERATION: Final = 1
_FORMATS: Final = tuple(Format)
_METHODS: Final = (BootMethod.AUTO, BootMethod.LINUX, BootMethod.PVH, BootMethod.MULTIBOOT)
_ENTRIES: Final = tuple(EntryMode)
_UNIT_BYTES: Final = 0x10000
_BIOS_UNITS: Final = (1, 2, 3, 4, 5, 16, 30, 32)

Target = Callable[[bytes], object]


def setup_header(data: bytes) -> object:
    """The first bytes of a Linux kernel; `size` of the file in front."""
    size = int.from_bytes(data[:4], "little")
    return _or_refusal(lambda: read_setup_header(data[4 : 4 + HEAD_BYTES], size))


def elf(data: bytes) -> object:
    """An ELF and its notes."""

    def read() -> object:
        found = read_elf(memoryview(data))
        assert first_overlap(segment.range for segment in found.segments) is None
        assert all(segment.range.end <= FOUR_GIB for segment in found.segments)
        assert all(len(segment.content) <= segment.range.size for segment in found.segments)
        notes = read_xen_notes(found)
        assert notes.phys32_entry is None or found.segment_at(notes.phys32_entry)
        return notes

    return _or_refusal(read)


def multiboot(data: bytes) -> object:
    """A file with a multiboot header."""

    def read() -> object:
        file = memoryview(data)
        multiboot_2_offset(file)
        header = find_header(file)
        if header is None or header.addresses is None:
            return header
        segment, entry = by_addresses(header, file)
        assert segment.range.start <= entry < segment.range.end <= FOUR_GIB
        header_addr, load, load_end = header.addresses[:3]
        assert len(segment.content) <= segment.range.size
        assert len(segment.content) == load_end - load or load_end == 0
        # What is loaded is the part of the file that has the header where the header says.
        loaded = bytes(segment.content[header_addr - load :][:12])
        assert data[header.offset :].startswith(loaded)
        return segment

    return _or_refusal(read)


def unpacking(data: bytes) -> object:
    """A stream: which format, and how long it is said to be, in front."""
    if len(data) < 4:
        return None
    size = int.from_bytes(data[1:4], "little") + 1
    try:
        out = unpack(memoryview(data)[4:], _FORMATS[data[0] % len(_FORMATS)], size)
    except Damaged as damaged:
        return _readable(str(damaged), damaged)
    assert len(out) == size
    return out


def kernel(data: bytes) -> object:
    """A kernel of any kind, looked at; the method in front."""

    def look() -> object:
        image = Image(Role.KERNEL, io.BytesIO(data[1:]), len(data) - 1)  # type: ignore[arg-type]
        found = recognise(image, _METHODS[data[0] % len(_METHODS)], MEMORY_BYTES)
        if isinstance(found, LinuxKernel):
            assert len(found.setup) + found.payload.size == image.size
        elif isinstance(found, PvhKernel):
            assert found.elf.segment_at(found.entry)
        else:
            assert any(s.range.start <= found.entry < s.range.end for s in found.segments)
        return found

    return _or_refusal(look) if len(data) > 1 else None


def boot(data: bytes) -> object:
    """A kernel from its staged bytes to ready. In front: how, and how long its ramdisk is."""
    if len(data) < 4:
        return None
    how, more, pages = data[0], data[1], data[2]
    image = data[3 : 3 + IMAGE_MAX_BYTES]
    platform = Platform.XEN_HVM if more & 1 else Platform.QEMU_PC
    roms = option_roms() if more & 2 else None
    with empty_ram() as ram:
        images = [stage(ram, Role.KERNEL, _AT, image)]
        if pages:
            images.append(stage(ram, Role.RAMDISK, 24 * MIB, b"r" * (pages << 8 | 1)))
        descriptor = guest_descriptor(
            platform,
            images,
            boot=_METHODS[how & 3],
            entry=_ENTRIES[how >> 2 & 3],
            subarch=Subarch.XEN if more & 4 else Subarch.PC,
            insert=Insert.GENROMS if more & 8 and roms is None else Insert.WINDOW,
        )
        return _or_refusal(lambda: _through(descriptor, ram, roms))


def firmware(data: bytes) -> object:
    """Firmware from its staged bytes to ready: platform and a size in front, then the loader, then
    what the BIOS begins with."""
    if len(data) < 5:
        return None
    loader_bytes = int.from_bytes(data[1:3], "little")
    units = _BIOS_UNITS[data[3] % len(_BIOS_UNITS)]
    loader, head = data[4 : 4 + loader_bytes], data[4 + loader_bytes :]
    end = b"\xea" * 16 if data[0] & 2 else b""
    bios = head[: units * _UNIT_BYTES].ljust(units * _UNIT_BYTES - len(end), b"\0") + end
    if data[0] & 4:
        bios = bios[:-0x1000]
    with empty_ram() as ram:
        images = [stage(ram, Role.BIOS, 24 * MIB, bios)]
        if loader:
            images.append(stage(ram, Role.FIRMWARE, _AT, loader))
        if data[0] & 8:
            images.append(stage(ram, Role.ACPI, 16 * MIB, head or b"x"))
        platform = Platform.XEN_HVM if data[0] & 1 else Platform.QEMU_PC
        descriptor = guest_descriptor(platform, images, boot=BootMethod.FIRMWARE)
        return _or_refusal(lambda: _through(descriptor, ram, None))


def descriptor_frame(data: bytes) -> object:
    """A descriptor's payload, in a frame that is right: only it is left to refuse."""
    frame = _sealed(data, FrameKind.DESCRIPTOR)

    def decode() -> object:
        generation, found = decode_descriptor(frame)
        assert encode_descriptor(found, generation) == frame
        return found

    return _or_refusal(decode)


def discovery(data: bytes) -> object:
    """The same, taken as an offer."""
    frame = _sealed(data, FrameKind.DESCRIPTOR)
    with empty_ram() as ram:
        return _or_refusal(lambda: _guarded(discover(frame, _GENERATION, ram, None)))


def report_frame(data: bytes) -> object:
    """A report's payload, likewise."""
    frame = _sealed(data, FrameKind.REPORT)

    def decode() -> object:
        generation, found = decode_report(frame)
        assert encode_report(found, generation) == frame
        return found

    return _or_refusal(decode)


def carried(data: bytes) -> object:
    """A frame as it comes through xenstore: chunks, by newlines."""
    return _or_refusal(
        lambda: decode_descriptor(base64_chunks.join(data.split(b"\n"), "direct-boot/frame"))
    )


def parameter_block(data: bytes) -> object:
    """What the BIOS extension is told."""

    def decode() -> object:
        found = decode_block(data)
        assert encode_block(found) == data
        return found

    return _or_refusal(decode)


def fw_cfg(data: bytes) -> object:
    """What a guest does to the device: accesses of 24 bytes, DMA blocks among them."""
    access = struct.Struct("<BBHIQQ")
    with empty_ram() as ram:
        device = fw_cfg_device(ram)
        for at in range(0, len(data) - access.size + 1, access.size):
            kind, size, port, value, address, block = access.unpack_from(data, at)
            port, size = 0x510 + port % 12, (1, 2, 4)[size % 3]
            if kind % 4 == 0:
                assert 0 <= device.read(port, size) < 1 << 8 * size
            elif kind % 4 == 1:
                count = value % 0x2000
                assert len(device.read_string(port, size, count)) == size * count
            elif kind % 4 == 2:
                device.write(port, size, value)
            else:
                control = value & 0xFFFF_FFFF
                length = block & 0xFFFF_FFFF if size == 4 else block & 0xFFFF
                ram.write(Gpa(_AT), struct.pack(">IIQ", control, length, address))
                device.write(0x514, 4, 0)
                device.write(0x518, 4, int.from_bytes(_AT.to_bytes(4, "little"), "big"))
        return device


def ioreq(data: bytes) -> object:
    """Packets of the machine, answered."""
    with empty_ram() as ram:
        dispatch = IoDispatch(ram)
        dispatch.claim(PORTS, fw_cfg_device(ram))
        answers = []
        for at in range(0, len(data), IOREQ_BYTES):
            packet = data[at : at + IOREQ_BYTES]
            try:
                answers.append(dispatch.answer(decode_request(packet)).encode())
            except (PeerMisbehaved, RamAccessError) as refused:
                _readable(str(refused), refused)
        return answers


TARGETS: Final[dict[str, Target]] = {
    "boot": boot,
    "kernel": kernel,
    "setup_header": setup_header,
    "unpacking": unpacking,
    "elf": elf,
    "multiboot": multiboot,
    "firmware": firmware,
    "descriptor": descriptor_frame,
    "discovery": discovery,
    "report": report_frame,
    "carried": carried,
    "block": parameter_block,
    "fw_cfg": fw_cfg,
    "ioreq": ioreq,
}


def _or_refusal(act: Callable[[], object]) -> object:
    """What `act` gives, or its refusal, which must say all that a person needs."""
    found = outcome(act, HandoffError)
    if isinstance(found, LayoutError):
        assert found.field
        assert found.found
        assert found.remedy
        assert 0 <= found.offset <= max(IMAGE_MAX_BYTES, MEMORY_BYTES)
    return _readable(str(found), found) if isinstance(found, HandoffError) else found


def _readable(text: str, refusal: Exception) -> Exception:
    assert text.isprintable()
    assert 0 < len(text) <= LINE_MAX, len(text)
    return refusal


def _sealed(payload: bytes, kind: FrameKind) -> bytes:
    return encode_frame(Frame(kind, _GENERATION, payload[: 32 * 1024 - HEADER_BYTES]))


def _guarded(found: Discovered) -> Discovered:
    for image in found.descriptor.images:
        assert found.guest.conflict(image.range, at_bev=False) is None
    return found


def _through(descriptor: Descriptor, ram: MemfdRam, roms: OptionRoms | None) -> object:
    """All stages, and that what is placed leaves firmware what is always firmware's."""
    frame = encode_descriptor(descriptor, _GENERATION)
    found = discover(frame, _GENERATION, ram, None)
    inserted = insert(move(place(verify(found, ram), roms), ram), ram)
    told = report(inserted)
    assert decode_report(encode_report(told, _GENERATION)) == (_GENERATION, told)
    check_report(told, [GpaRange(Gpa(0), MEMORY_BYTES)])
    ready(inserted, ram)
    kept = ranges(descriptor.reserved, Until.ALWAYS)
    for placed in told.placements:
        if isinstance(told.firmware, DirectEntry):
            assert placed.range.start >= MIB, placed
        if told.firmware is None and roms is None and placed.name != "BIOS extension":
            assert not any(placed.range.overlaps(other) for other in kept), placed
    return told
