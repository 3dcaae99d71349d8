"""An engine as every user of Unicorn here wants it, and its error.

The binding carries a py.typed marker but hardly any annotation, so it is used as `Any`.
"""

from __future__ import annotations

import ctypes
import mmap
import resource
from typing import Any

import unicorn
from unicorn import UC_ARCH_X86, UC_MODE_16, UC_MODE_32

_binding: Any = unicorn

UcError = _binding.UcError

_MODE_OFFSET = 4
"""of the mode in Unicorn's own structure, behind the architecture"""


_TRANSLATIONS_BYTES = 1 << 30
"""Address space that an engine takes for translated code. Where there is none, Unicorn ends the
process, with a line on standard output that nobody reads."""


class NoAddressSpace(Exception):
    """A limit of this process leaves no room for an engine."""


class UnknownEngine(Exception):
    """This build of Unicorn keeps its state in a way we do not recognise."""


def open_engine() -> Any:
    """A new x86 engine in real mode that no address ends.

    Ends by address are off because Unicorn looks them up through the guest's page tables,
    which leaves a page fault behind. Raises: UnknownEngine, NoAddressSpace.
    """
    _check_address_space()
    uc = _binding.Uc(UC_ARCH_X86, UC_MODE_16)
    uc.ctl_exits_enabled(True)
    uc.ctl_set_exits([])
    set_access_mode(uc, UC_MODE_32)
    if uc.ctl_get_mode() != UC_MODE_32:
        raise UnknownEngine("this build of Unicorn keeps its mode elsewhere")
    set_access_mode(uc, UC_MODE_16)
    return uc


def set_access_mode(uc: Any, mode: int) -> None:
    """Says how wide registers are for the calls that follow, and where `emu_start` begins:
    at CS*16 + IP, EIP or RIP. The vCPU's own mode is not touched.

    Unicorn fixes this when an engine is opened, and an engine that follows its guest from
    real mode to long mode has no single answer: opened for 16 bits, it cannot be started
    above 64 KiB of a segment, nor show the high half of RIP; opened for 64, it cannot load a
    real-mode segment.
    """
    ctypes.c_int32.from_address(uc._uch.value + _MODE_OFFSET).value = mode


def _check_address_space() -> None:
    """Raises: NoAddressSpace."""
    # Nothing is written, so nothing is set aside.
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    try:
        mmap.mmap(-1, _TRANSLATIONS_BYTES, flags=flags, prot=mmap.PROT_READ).close()
    except OSError as error:
        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        raise NoAddressSpace(
            f"no {_TRANSLATIONS_BYTES >> 20} MiB of address space for translated code "
            f"(RLIMIT_AS {limit}): raise the limit (ulimit -v)"
        ) from error
