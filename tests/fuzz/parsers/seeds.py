"""What the fuzzer starts from: inputs that the parsers understand, made by the tests' builders."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable
from dataclasses import replace

from devicemodel.bios_extension.block import (
    Copy,
    CountForm,
    E820Collection,
    E820Format,
    LongModeEntry,
    ParameterBlock,
    ProtectedModeEntry,
    RealModeEntry,
    Zero,
)
from devicemodel.bios_extension.block_codec import encode as encode_block
from devicemodel.images.compression import Format
from handoff.addresses import MIB, Gpa, GpaRange
from handoff.carriers import base64_chunks
from handoff.descriptor import BootMethod, Descriptor, Insert, Role, StagedImage
from handoff.descriptor_codec import encode_descriptor
from handoff.firmware import BiosRom, DirectEntry
from handoff.ioreq import Direction, Ioreq, IoreqType
from handoff.layouts.frame import HEADER_BYTES
from handoff.platforms import ROM_WINDOW, Platform, memory_map, reservations
from handoff.report import MovedRange, PlacedRange, Report, When, encode_report
from tests.builders import FIXED, RELOCATABLE, BzImage
from tests.devicemodel.images.elves import PVH_ELF, Load, bzimage, note, phys32_entry
from tests.devicemodel.images.packing import packed, payload

_SMALL = replace(RELOCATABLE, payload_bytes=0x300, setup_sects=2)
_PVH = replace(
    PVH_ELF,
    loads=(
        Load(0x1000000, b"text" * 40, vaddr=0xFFFFFFFF81000000),
        Load(0x1002000, b"data" * 9, 0x3000, vaddr=0xFFFFFFFF81002000),
    ),
    notes=note(6, b"linux\0") + phys32_entry(0x1000040) + note(19, struct.pack("<I", 0x200000)),
)
_MB_HEADER = struct.pack("<III", 0x1BADB002, 3, -(0x1BADB002 + 3) % (1 << 32))
_MB_FIELDS = struct.pack(
    "<8I",
    *(0x1BADB002, 0x10003, -(0x1BADB002 + 0x10003) % (1 << 32)),
    *(0x200010, 0x200000, 0x200100, 0x202000, 0x200020),
)
_MB_ELF = replace(
    _PVH,
    bits=32,
    loads=(Load(0x200000, _MB_HEADER + b"x" * 50, 0x400), Load(0x1F0000, b"low" * 8)),
    entry=0x200010,
    notes=b"",
)
_MB_KLUDGE = bytes(16) + _MB_FIELDS + b"y" * 0x100
_MB_2 = struct.pack("<IIII", 0xE85250D6, 0, 16, -(0xE85250D6 + 16) % (1 << 32)) + bytes(64)
_LOADER = replace(_MB_ELF, loads=(Load(0x100000, b"hvm" * 30, 0x500),), entry=0x100010)
_PVH_32 = replace(_PVH, bits=32, loads=tuple(replace(load, vaddr=None) for load in _PVH.loads))
_UEFI = bytes(0x28) + b"_FVH"


def kernels() -> tuple[bytes, ...]:
    """One of each kind, small."""
    old = (BzImage(version=version, payload_bytes=0x300) for version in (0, 0x200, 0x201, 0x203))
    return (
        _SMALL.build(),
        replace(FIXED, payload_bytes=0x300, setup_sects=1).build(),
        replace(_SMALL, loadflags=0, version=0x207).build(),
        *(image.build() for image in old),
        *(_packed(_PVH.build(), format) for format in Format),
        _PVH.build(),
        _PVH_32.build(),
        gzip.compress(_PVH.build(), mtime=0),
        _MB_ELF.build(),
        gzip.compress(_MB_ELF.build(), mtime=0),
        _MB_KLUDGE,
        _MB_2,
    )


def _packed(elf: bytes, format: Format) -> bytes:
    return bzimage(payload(elf, format), setup_sects=2)


def seeds(target: str) -> Iterable[bytes]:
    """Where the corpus of `target` begins."""
    match target:
        case "boot":
            for content in kernels():
                yield from (
                    bytes((2 * (content[:4] == b"\x7fELF"), n, 3)) + content for n in (0, 3)
                )
                yield bytes((2, 8, 0)) + content
            yield from (bytes((how, 4, 1)) + _SMALL.build() for how in (0x09, 0x0D))
            # Where firmware, the BIOS extension and the end of RAM are.
            for at in (0x500, 0x8F000, 0x9F000, 0xF0000, 0x1FF000, 0x3EFF000, 0x3FFF000):
                loads = (Load(at, b"kernel", 0x2000),)
                elf = replace(_PVH, loads=loads, entry=at, notes=phys32_entry(at))
                yield from (bytes((2, more, 1)) + elf.build() for more in (0, 1, 2))
        case "kernel":
            yield from (bytes((method,)) + one for method in (0, 2) for one in kernels())
        case "setup_header":
            yield from (struct.pack("<I", len(one)) + one[:0x270] for one in kernels())
        case "unpacking":
            for number, format in enumerate(Format):
                for content in (b"short text " * 40, bytes(range(256)) * 20):
                    head = bytes((number,)) + (len(content) - 1).to_bytes(3, "little")
                    yield head + packed(content, format)
        case "elf":
            yield from (one.build() for one in (_PVH, _PVH_32, _MB_ELF, _LOADER))
        case "multiboot":
            yield from (_MB_ELF.build(), _MB_KLUDGE, _MB_2)
        case "firmware":
            loader = _LOADER.build()
            size = len(loader).to_bytes(2, "little")
            yield b"\x03" + size + b"\x01" + loader + b"bios"
            yield b"\x03" + size + b"\x07" + loader + _UEFI
            low = replace(_LOADER, loads=(Load(0x10000, b"hvm"),), entry=0x10000).build()
            yield b"\x03" + len(low).to_bytes(2, "little") + b"\x01" + low + b"bios"
            yield b"\x02\0\0\x03" + b"bios"
            yield b"\x02\0\0\x07" + _UEFI
        case "descriptor" | "discovery":
            yield from (frame[HEADER_BYTES:] for frame in _descriptors())
        case "carried":
            yield from ("\n".join(base64_chunks.split(f)).encode() for f in _descriptors())
        case "report":
            yield from (encode_report(one, 1)[HEADER_BYTES:] for one in _reports())
        case "block":
            yield from (encode_block(one) for one in _blocks())
        case "fw_cfg":
            yield from _accesses()
        case "ioreq":
            yield from _requests()


def _descriptors() -> Iterable[bytes]:
    for boot, roles in (
        (BootMethod.AUTO, (Role.KERNEL, Role.RAMDISK, Role.MODULE)),
        (BootMethod.FIRMWARE, (Role.BIOS, Role.FIRMWARE, Role.ACPI, Role.SMBIOS)),
    ):
        images = tuple(
            StagedImage(role, GpaRange(Gpa((2 + number) * MIB), 0x1000), bytes(32), b"name", b"a")
            for number, role in enumerate(roles)
        )
        for platform in Platform:
            e820 = memory_map(64 * MIB, Gpa(64 * MIB))
            kept = reservations(platform, e820)
            told = Descriptor(platform, e820, kept, Insert.WINDOW, ROM_WINDOW, boot, b"x", images)
            yield encode_descriptor(told, 1)


def _reports() -> Iterable[Report]:
    where = GpaRange(Gpa(2 * MIB), 0x1000)
    placed = (PlacedRange("kernel", where, When.NOW, "its own address"),)
    moves = (MovedRange("kernel", where, where), MovedRange("ramdisk", None, where))
    yield Report("linux 2.15", placed, moves, where, 4096)
    yield Report("firmware", placed, (), None, 0, BiosRom(where))
    yield Report("firmware", placed, (), None, 0, DirectEntry(Gpa(0x100000), Gpa(0x200000), where))


def _blocks() -> Iterable[ParameterBlock]:
    entries = (
        RealModeEntry(cs=0x1020, ip=0, ss=0x1000, sp=0xFFF0, ds=0x1000),
        ProtectedModeEntry(Gpa(0x100000), ebx=0x300000),
        LongModeEntry(Gpa(0x200200), 0x10000, Gpa(0x400000)),
    )
    steps = (
        Copy(GpaRange(Gpa(2 * MIB), 0x1000), Gpa(0x10000)),
        Zero(GpaRange(Gpa(3 * MIB), 0x1000)),
    )
    collection = E820Collection(
        format=E820Format.PVH,
        records=Gpa(0x500000),
        max_records=128,
        count=Gpa(0x501000),
        count_form=CountForm.U32_RECORDS,
    )
    yield from (ParameterBlock(entry, steps, collection, Gpa(0x501008)) for entry in entries)


def _accesses() -> Iterable[bytes]:
    def access(
        kind: int, size: int, port: int, value: int, address: int = 0, block: int = 0
    ) -> bytes:
        return struct.pack("<BBHIQQ", kind, size, port, value, address, block)

    yield access(2, 1, 0, 0x19) + access(1, 0, 1, 0x100) + access(0, 2, 4, 0)
    yield access(3, 1, 0, 0x0011_000A, 3 * MIB, 0x1400) + access(0, 0, 1, 0)
    yield access(3, 2, 0, 0x0011_000E, 64 * MIB - 8, 0x1400)
    yield access(3, 2, 0, 0x0011_000A, 2 * MIB - 4, 0x20)
    yield access(3, 2, 0, 0x0012_0018, (1 << 64) - 1, 0xFFFFFFFF)


def _requests() -> Iterable[bytes]:
    read = Ioreq(IoreqType.PIO, Direction.READ, 0x511, 1)
    many = replace(read, data=3 * MIB, count=0x300, data_is_ptr=True)
    write = Ioreq(IoreqType.PIO, Direction.WRITE, 0x510, 2, data=0x11)
    copy = Ioreq(IoreqType.COPY, Direction.READ, 0xFED00000, 8)
    yield write.encode() + read.encode() + many.encode()
    yield replace(many, descending=True, data=64 * MIB).encode() + copy.encode()
