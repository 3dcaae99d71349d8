"""The setup header of a Linux kernel image: read, gated by version, patched.

A field newer than the image's own protocol version is never read as meaning anything and
never written: iPXE, for one, has text where later versions have fields. An image without "HdrS"
is older than protocol 2.00; its version is 0 here, and it has the fields of a boot sector.
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
HEADER_MAX_END = 0x290
"""Where boot_params has no more room for a header."""
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
    "jump": Field(0x200, "<H", 0x200),
    "header": Field(0x202, "<I", 0x200),
    "version": Field(0x206, "<H", 0x200),
    "type_of_loader": Field(0x210, "<B", 0x200),
    "loadflags": Field(0x211, "<B", 0x200),
    "setup_move_size": Field(0x212, "<H", 0x200),
    "code32_start": Field(0x214, "<I", 0x200),
    "ramdisk_image": Field(0x218, "<I", 0x200),
    "ramdisk_size": Field(0x21C, "<I", 0x200),
    "bootsect_kludge": Field(0x220, "<I", 0x200),
    "heap_end_ptr": Field(0x224, "<H", 0x201),
    "cmd_line_ptr": Field(0x228, "<I", 0x202),
    "initrd_addr_max": Field(0x22C, "<I", 0x203),
    "kernel_alignment": Field(0x230, "<I", 0x205),
    "relocatable_kernel": Field(0x234, "<B", 0x205),
    "min_alignment": Field(0x235, "<B", 0x20A),
    "xloadflags": Field(0x236, "<H", 0x20C),
    "cmdline_size": Field(0x238, "<I", 0x206),
    "hardware_subarch": Field(0x23C, "<I", 0x207),
    "hardware_subarch_data": Field(0x240, "<Q", 0x207),
    "payload_offset": Field(0x248, "<I", 0x208),
    "payload_length": Field(0x24C, "<I", 0x208),
    "setup_data": Field(0x250, "<Q", 0x209),
    "pref_address": Field(0x258, "<Q", 0x20A),
    "init_size": Field(0x260, "<I", 0x20A),
    "handover_offset": Field(0x264, "<I", 0x20B),
    "kernel_info_offset": Field(0x268, "<I", 0x20F),
}

LOADED_HIGH = 0x01
CAN_USE_HEAP = 0x80
HAS_64_BIT_ENTRY = 0x01
"""xloadflags: 64-bit code 0x200 bytes into the protected-mode part."""
TAKES_4_GIB = 0x02
"""xloadflags: kernel, initrd and the rest may lie anywhere, whatever initrd_addr_max says."""
ZIMAGE_MAX_BYTES = 512 << 10
"""Longest protected-mode part of a zImage: it lies between 0x10000 and 0x90000."""
DEFAULT_INITRD_ADDR_MAX = 0x37FFFFFF
DEFAULT_CMDLINE_SIZE = 255


@dataclass(frozen=True, slots=True)
class SetupHeader:
    """What the image says of itself; absent fields have the protocol's defaults."""

    version: int
    """major << 8 | minor"""
    setup_bytes: int
    """boot sector and setup code, bytes: where the protected-mode part starts in the file"""
    header_end: int
    """offset behind the last field that image and version both have"""
    loadflags: int
    code32_start: int
    initrd_addr_max: int
    """highest byte the initrd may occupy"""
    cmdline_size: int
    """longest command line without NUL, bytes"""
    relocatable: bool
    kernel_alignment: int
    """bytes, a power of two; 1 if not relocatable"""
    min_alignment: int
    """log2 of the least alignment that will do; 0 if it does not say"""
    pref_address: int | None
    init_size: int | None
    """bytes needed from the runtime start; None before 2.10"""
    xloadflags: int
    payload_offset: int
    """of the compressed ELF in the protected-mode part; 0 if it does not say"""
    payload_length: int
    setup_data: int
    """address of a list that the kernel is given already; 0 if none"""

    @property
    def version_text(self) -> str:
        if self.version == 0:
            return "before 2.00"
        return f"{self.version >> 8}.{self.version & 0xFF:02d}"

    @property
    def is_zimage(self) -> bool:
        """Whether the protected-mode part belongs at 0x10000, not at 1 MiB or above."""
        return not self.loadflags & LOADED_HIGH

    @property
    def ramdisk_limit(self) -> int:
        """First address the initrd may not reach."""
        return 1 << 32 if self.xloadflags & TAKES_4_GIB else self.initrd_addr_max + 1


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
    if len(head) < FIELDS["boot_flag"].end:
        raise _refuse("boot_flag", missing, "the file is cut short, copy it again")
    if _get(head, "boot_flag") != _BOOT_FLAG:
        raise _refuse("boot_flag", f"{_get(head, 'boot_flag'):#x}", "a kernel has 0xaa55 there")
    if len(head) < FIELDS["version"].end:
        raise _refuse("version", missing, "the file is cut short, copy it again")
    version = _get(head, "version") if _get(head, "header") == _MAGIC else 0
    if 0 < version < FIELDS["version"].since:
        raise _refuse("version", f"{version:#x}", 'an image with "HdrS" has at least 0x200')
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
    loadflags = _or(head, version, "loadflags", 0)
    high = loadflags & LOADED_HIGH != 0
    announced = _announced(head, version, high)
    if announced - (file_size - setup_bytes) >= PARAGRAPH:
        raise _refuse(
            "syssize",
            f"{announced // PARAGRAPH:#x}, {announced:#x} bytes behind the setup code",
            f"the file has {file_size - setup_bytes:#x} there: it is cut short, copy it again",
        )
    return _checked(
        SetupHeader(
            version=version,
            setup_bytes=setup_bytes,
            header_end=_header_end(head, version),
            loadflags=loadflags,
            code32_start=_or(head, version, "code32_start", 0),
            initrd_addr_max=_or(head, version, "initrd_addr_max", DEFAULT_INITRD_ADDR_MAX),
            cmdline_size=_or(head, version, "cmdline_size", DEFAULT_CMDLINE_SIZE),
            relocatable=_or(head, version, "relocatable_kernel", 0) != 0 and high,
            kernel_alignment=_or(head, version, "kernel_alignment", 0) or 1,
            min_alignment=_or(head, version, "min_alignment", 0),
            pref_address=_or(head, version, "pref_address", 0) or None,
            init_size=_or(head, version, "init_size", 0) or None,
            xloadflags=_or(head, version, "xloadflags", 0),
            payload_offset=_or(head, version, "payload_offset", 0),
            payload_length=_or(head, version, "payload_length", 0),
            setup_data=_or(head, version, "setup_data", 0),
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


def _announced(head: bytes, version: int, high: bool) -> int:
    """Bytes of the protected-mode part by syssize; 0 if nothing can be concluded from it.

    It has 2 bytes before 2.04, which are too few for a bzImage.
    """
    if version < 0x204 and high:
        return 0
    paragraphs = _get(head, "syssize")
    return (paragraphs if version >= 0x204 else paragraphs & 0xFFFF) * PARAGRAPH


def _header_end(head: bytes, version: int) -> int:
    """The end by the jump at 0x200, but no further than the fields that `version` has.

    A version newer than all known ones may have fields that are not in the table.
    """
    newest = max(field.since for field in FIELDS.values())
    known = max(field.end for field in FIELDS.values() if field.since <= version)
    limit = HEADER_MAX_END if version > newest else known
    return min(limit, FIELDS["header"].offset + head[FIELDS["jump"].offset + 1])


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
