"""An engine as every user of Unicorn here wants it, and its error.

The binding carries a py.typed marker but hardly any annotation, so it is used as `Any`.
"""

from __future__ import annotations

import ctypes
from typing import Any

import unicorn
from unicorn import UC_ARCH_X86, UC_MODE_16, UC_MODE_32

_binding: Any = unicorn

UcError = _binding.UcError

_MODE_OFFSET = 4
"""of the mode in Unicorn's own structure, behind the architecture"""


class UnknownEngine(Exception):
    """This build of Unicorn keeps its state in a way we do not recognise."""


def open_engine() -> Any:
    """A new x86 engine in real mode that no address ends.

    Ends by address are off because Unicorn looks them up through the guest's page tables,
    which leaves a page fault behind. Raises: UnknownEngine.
    """
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
