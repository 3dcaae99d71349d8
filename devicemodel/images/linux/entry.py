"""The mode in which a kernel is entered: which of them it has, and the state of the CPU."""

from __future__ import annotations

from devicemodel.bios_extension.block import (
    Entry,
    LongModeEntry,
    ProtectedModeEntry,
    RealModeEntry,
)
from devicemodel.images.linux.low_memory import LowMemory
from devicemodel.images.linux.placement import FIXED_BASE
from devicemodel.images.setup_header import HAS_64_BIT_ENTRY, SetupHeader
from handoff.addresses import Gpa, GpaRange
from handoff.descriptor import EntryMode
from handoff.errors import ConfigError

ENTRY_64_OFFSET = 0x200
"""From the start of the protected-mode part."""
_REAL_MODE_OFFSET = 0x200
"""Setup code starts behind the boot sector."""


def chosen_entry(wanted: EntryMode, header: SetupHeader) -> EntryMode:
    """REAL, PROTECTED or LONG. Raises: ConfigError if this kernel has no such entry."""
    if wanted in (EntryMode.AUTO, EntryMode.REAL):
        return EntryMode.REAL
    lack = None
    if header.is_zimage:
        lack = "it is a zImage, which its own setup code has to move first"
    elif header.version < 0x202:
        lack = f"it is of protocol {header.version_text}, boot_params came with 2.02"
    elif header.code32_start != FIXED_BASE:
        lack = f"its setup_header.code32_start is {header.code32_start:#x}, not {FIXED_BASE:#x}"
    elif wanted is EntryMode.LONG and not header.xloadflags & HAS_64_BIT_ENTRY:
        lack = f"bit 0 of its setup_header.xloadflags {header.xloadflags:#x} is clear"
    if lack is not None:
        raise ConfigError(
            f"entry {wanted.value}: this kernel has no {wanted.value}-bit entry, {lack}: "
            "take --entry real"
        )
    return wanted


def entry_state(mode: EntryMode, low: LowMemory, load: Gpa, page_tables: GpaRange | None) -> Entry:
    """How the BIOS extension enters the kernel.

    load: where the protected-mode part starts. page_tables: room for them, for LONG alone.
    """
    if mode is EntryMode.PROTECTED:
        return ProtectedModeEntry(load, esi=low.base)
    if mode is EntryMode.LONG:
        assert page_tables is not None
        return LongModeEntry(Gpa(load + ENTRY_64_OFFSET), low.base, page_tables.start)
    segment = low.base >> 4
    return RealModeEntry(
        cs=segment + (_REAL_MODE_OFFSET >> 4), ip=0, ss=segment, sp=low.stack_top, ds=segment
    )
