"""The selectors of fw_cfg that this device has.

Source: docs/specs/fw_cfg.rst and include/standard-headers/linux/qemu_fw_cfg.h of QEMU.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

WRITE_CHANNEL: Final = 0x4000
"""Bit of a selector that once asked for writing; ignored."""
ARCH_LOCAL: Final = 0x8000
"""Bit of a selector that names an item of the architecture."""
FIRST_FILE: Final = 0x20
FILES_MAX: Final = 0x20
KEY_LIMIT: Final = FIRST_FILE + FILES_MAX
"""Selectors from here on, bits above apart, name nothing."""


class Key(IntEnum):
    SIGNATURE = 0x00
    ID = 0x01
    RAM_SIZE = 0x03
    NB_CPUS = 0x05
    KERNEL_ADDR = 0x07
    KERNEL_SIZE = 0x08
    INITRD_ADDR = 0x0A
    INITRD_SIZE = 0x0B
    MAX_CPUS = 0x0F
    KERNEL_ENTRY = 0x10
    KERNEL_DATA = 0x11
    INITRD_DATA = 0x12
    CMDLINE_ADDR = 0x13
    CMDLINE_SIZE = 0x14
    CMDLINE_DATA = 0x15
    SETUP_ADDR = 0x16
    SETUP_SIZE = 0x17
    SETUP_DATA = 0x18
    FILE_DIR = 0x19
