"""The setup header of a Linux kernel image: read, gated by version, patched.

A field newer than the image's own protocol version is never read as meaning anything and
never written: iPXE, for one, has text where later versions have fields.
Source: Documentation/arch/x86/boot.rst in Linux, "The Real-Mode Kernel Header".
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from handoff.errors import LayoutError

SECTOR = 512
PARAGRAPH = 16
"""Unit of syssize, which is rounded up: whole kernels are up to 15 bytes shorter."""
SETUP_MAX_BYTES = 64 * SECTOR
"""Longest real-mode part, boot sector included."""
HEAD_BYTES = 0x270
"""Enough of a file to hold every field below, and less than the shortest setup code."""
assert HEAD_BYTES <= 2 * SECTOR
_BOOT_FLAG = 0xAA55
_MAGIC = 0x53726448  # "HdrS"


@dataclass(frozen=True, slots=True)
class Field:
    offset: int
    format: str
    since: int
    """first protocol version that has the field; 0: in every image"""

    @property
    def end(self) -> int:
        return self.offset + struct.calcsize(self.format)


FIELDS: Mapping[str, Field] = {
    "setup_sects": Field(0x1F1, "<B", 0),
    "syssize": Field(0x1F4, "<I", 0x204),
    "vid_mode": Field(0x1FA, "<H", 0),
    "boot_flag": Field(0x1FE, "<H", 0),
    "header": Field(0x202, "<I", 0x200),
    "version": Field(0x206, "<H", 0x200),
    "type_of_loader": Field(0x210, "<B", 0x200),
    "loadflags": Field(0x211, "<B", 0x200),
    "code32_start": Field(0x214, "<I", 0x200),
    "ramdisk_image": Field(0x218, "<I", 0x200),
    "ramdisk_size": Field(0x21C, "<I", 0x200),
    "heap_end_ptr": Field(0x224, "<H", 0x201),
    "cmd_line_ptr": Field(0x228, "<I", 0x202),
    "initrd_addr_max": Field(0x22C, "<I", 0x203),
    "kernel_alignment": Field(0x230, "<I", 0x205),
    "relocatable_kernel": Field(0x234, "<B", 0x205),
    "min_alignment": Field(0x235, "<B", 0x20A),
    "xloadflags": Field(0x236, "<H", 0x20C),
    "cmdline_size": Field(0x238, "<I", 0x206),
    "pref_address": Field(0x258, "<Q", 0x20A),
    "init_size": Field(0x260, "<I", 0x20A),
}

LOADED_HIGH = 0x01
CAN_USE_HEAP = 0x80
DEFAULT_INITRD_ADDR_MAX = 0x37FFFFFF
DEFAULT_CMDLINE_SIZE = 255


@dataclass(frozen=True, slots=True)
class SetupHeader:
    """What the image says of itself; absent fields have the protocol's defaults."""

    version: int
    """major << 8 | minor"""
    setup_bytes: int
    """boot sector and setup code, bytes: where the protected-mode part starts in the file"""
    loadflags: int
    code32_start: int
    initrd_addr_max: int
    """highest byte the initrd may occupy"""
    cmdline_size: int
    """longest command line without NUL, bytes"""
    relocatable: bool
    kernel_alignment: int
    """bytes, a power of two; 1 if not relocatable"""
    pref_address: int | None
    init_size: int | None
    """bytes needed from the runtime start; None before 2.10"""
    xloadflags: int

    @property
    def version_text(self) -> str:
        return f"{self.version >> 8}.{self.version & 0xFF:02d}"


def is_linux(head: bytes) -> bool:
    """Whether `head` has the magic of a setup header."""
    if len(head) < FIELDS["version"].end:
        return False
    return _get(head, "boot_flag") == _BOOT_FLAG and _get(head, "header") == _MAGIC


def read_setup_header(head: bytes, file_size: int) -> SetupHeader:
    """The header in the first HEAD_BYTES of an image of `file_size` bytes.

    Raises: LayoutError for what the protocol forbids, with field and offset.
    """
    missing = f"missing: the file has {file_size:#x} bytes"
    for name, value, remedy in (
        ("boot_flag", _BOOT_FLAG, "a kernel has 0xaa55 there"),
        ("header", _MAGIC, 'a bzImage has "HdrS" there'),
    ):
        if len(head) < FIELDS[name].end:
            raise _refuse(name, missing, remedy)
        if _get(head, name) != value:
            raise _refuse(name, f"{_get(head, name):#x}", remedy)
    if len(head) < FIELDS["version"].end:
        raise _refuse("version", missing, "the file is cut short, copy it again")
    version = _get(head, "version")
    needed = max(field.end for field in FIELDS.values() if field.since <= version)
    if len(head) < needed:
        raise _refuse(
            "version",
            f"{version:#x} with a file of {file_size:#x} bytes",
            f"its header needs {needed:#x} bytes: the file is cut short, copy it again",
        )
    setup_bytes = ((_get(head, "setup_sects") or 4) + 1) * SECTOR
    if setup_bytes > SETUP_MAX_BYTES:
        raise _refuse(
            "setup_sects",
            f"{_get(head, 'setup_sects'):#x}",
            f"setup would have {setup_bytes:#x} bytes, its segment has room for "
            f"{SETUP_MAX_BYTES:#x} below heap and stack",
        )
    if file_size <= setup_bytes:
        raise _refuse(
            "setup_sects",
            f"{_get(head, 'setup_sects'):#x} with a file of {file_size:#x} bytes",
            f"setup alone has {setup_bytes:#x}: the file is cut short, copy it again",
        )
    announced = _or(head, version, "syssize", 0) * PARAGRAPH
    if announced - (file_size - setup_bytes) >= PARAGRAPH:
        raise _refuse(
            "syssize",
            f"{_get(head, 'syssize'):#x}, {announced:#x} bytes behind the setup code",
            f"the file has {file_size - setup_bytes:#x} there: it is cut short, copy it again",
        )
    return _checked(
        SetupHeader(
            version=version,
            setup_bytes=setup_bytes,
            loadflags=_get(head, "loadflags"),
            code32_start=_get(head, "code32_start"),
            initrd_addr_max=_or(head, version, "initrd_addr_max", DEFAULT_INITRD_ADDR_MAX),
            cmdline_size=_or(head, version, "cmdline_size", DEFAULT_CMDLINE_SIZE),
            relocatable=_or(head, version, "relocatable_kernel", 0) != 0,
            kernel_alignment=_or(head, version, "kernel_alignment", 0) or 1,
            pref_address=_or(head, version, "pref_address", 0) or None,
            init_size=_or(head, version, "init_size", 0) or None,
            xloadflags=_or(head, version, "xloadflags", 0),
        )
    )


def patched(setup: bytes, version: int, values: Mapping[str, int]) -> bytes:
    """`setup` with `values` written into its header; none may be newer than `version`."""
    out = bytearray(setup)
    for name, value in values.items():
        field = FIELDS[name]
        assert field.since <= version, f"{name} is newer than protocol {version:#x}"
        struct.pack_into(field.format, out, field.offset, value)
    return bytes(out)


def _checked(header: SetupHeader) -> SetupHeader:
    alignment = header.kernel_alignment
    if header.relocatable and alignment & (alignment - 1):
        raise _refuse("kernel_alignment", f"{alignment:#x}", "it must be a power of two")
    pref = header.pref_address
    if pref is not None and pref > 0xFFFFFFFF:
        raise _refuse("pref_address", f"{pref:#x}", "a kernel entered in 32 bits runs below 4 GiB")
    return header


def _get(head: bytes, name: str) -> int:
    field = FIELDS[name]
    value: int = struct.unpack_from(field.format, head, field.offset)[0]
    return value


def _or(head: bytes, version: int, name: str, default: int) -> int:
    return _get(head, name) if version >= FIELDS[name].since else default


def _refuse(name: str, found: str, remedy: str) -> LayoutError:
    return LayoutError(f"kernel setup_header.{name}", FIELDS[name].offset, found, remedy)
