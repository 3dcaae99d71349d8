"""What a kernel is told by its loader, in the setup header and, before 2.02, beside it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from devicemodel.images.boot_params import boot_params
from devicemodel.images.linux.cmdline import VGA_NORMAL, video_mode
from devicemodel.images.linux.kernel import LinuxKernel
from devicemodel.images.linux.low_memory import LowMemory
from devicemodel.images.linux.xen_info import SUBARCH_XEN
from devicemodel.images.setup_header import (
    CAN_USE_HEAP,
    SETUP_MAX_BYTES,
    SetupHeader,
    patched,
)
from handoff.addresses import Gpa, GpaRange
from handoff.descriptor import EntryMode
from handoff.errors import ConfigError
from handoff.platforms import Platform

LOADER_XEN = 0x90
LOADER_QEMU = 0xB0
_HEAP_END_PTR_BIAS = 0x200
"""heap_end_ptr counts from behind the boot sector's place."""
_OLD_CMDLINE = struct.Struct("<HH")
_OLD_CMDLINE_AT = 0x20
_OLD_CMDLINE_MAGIC = 0xA33F


@dataclass(frozen=True, slots=True)
class Told:
    """The loader's decisions."""

    platform: Platform
    low: LowMemory
    load: GpaRange
    alignment: int | None
    """kernel_alignment where it is not the image's own"""
    ramdisk: GpaRange | None
    cmdline: bytes
    xen_info: Gpa | None
    """hardware_subarch_data; None: the subarchitecture stays as the image has it"""


def real_mode_part(kernel: LinuxKernel, mode: EntryMode, told: Told) -> bytes:
    """What lies at `told.low.base` when the kernel is entered.

    Setup code for the real-mode entry, boot_params for the others. Raises: ConfigError for a
    command line that asks for what this entry cannot do.
    """
    if mode is EntryMode.REAL:
        return _setup_code(kernel, told)
    header = kernel.header
    return boot_params(kernel.setup, header, _values(header, told, _no_mode_set(mode, told)))


def _setup_code(kernel: LinuxKernel, told: Told) -> bytes:
    header, low = kernel.header, told.low
    values = _values(header, told, video_mode(told.cmdline))
    if header.version >= 0x201:
        values["loadflags"] = header.loadflags | CAN_USE_HEAP
        values["heap_end_ptr"] = low.segment_bytes - _HEAP_END_PTR_BIAS
    if 0x200 <= header.version < 0x202:
        values["setup_move_size"] = low.cmdline_offset + len(told.cmdline) + 1
    setup = kernel.setup
    if header.version < 0x202:
        words = bytearray(setup)
        _OLD_CMDLINE.pack_into(words, _OLD_CMDLINE_AT, _OLD_CMDLINE_MAGIC, low.cmdline_offset)
        setup = bytes(words)
    if header.version < 0x200:
        # It counts on zeros up to where its heap and stack begin.
        setup = setup.ljust(SETUP_MAX_BYTES, b"\0")
    return patched(setup, header.version, values)


def _values(header: SetupHeader, told: Told, mode: int | None) -> dict[str, int]:
    """The fields of every entry, those this version has."""
    values: dict[str, int] = {}
    if mode is not None:
        values["vid_mode"] = mode
    if header.version >= 0x200:
        loader = LOADER_XEN if told.platform is Platform.XEN_HVM else LOADER_QEMU
        values["type_of_loader"] = loader
        values["ramdisk_image"] = 0 if told.ramdisk is None else int(told.ramdisk.start)
        values["ramdisk_size"] = 0 if told.ramdisk is None else told.ramdisk.size
    if header.version >= 0x202:
        values["cmd_line_ptr"] = int(told.low.cmdline)
    if header.relocatable:
        values["code32_start"] = int(told.load.start)
    if told.alignment is not None:
        values["kernel_alignment"] = told.alignment
    if told.xen_info is not None:
        values["hardware_subarch"] = SUBARCH_XEN
        values["hardware_subarch_data"] = int(told.xen_info)
    return values


def _no_mode_set(mode: EntryMode, told: Told) -> int:
    """vid_mode where no setup code sets one. Raises: ConfigError if one is asked for."""
    wanted = video_mode(told.cmdline)
    if wanted not in (None, VGA_NORMAL):
        raise ConfigError(
            f"vga= in the command line asks for video mode {wanted:#x}, which the kernel's setup "
            f"code sets, and entry {mode.value} passes it over: take --entry real, or remove vga="
        )
    return VGA_NORMAL
