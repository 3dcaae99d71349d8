"""What Unicorn knows about an exception and does not tell: error code, origin, being in flight.

Unicorn stops at every interrupt and exception and leaves its delivery to the host program. Its
register interface lacks three things needed for that: the error code, whether an INT
instruction or a fault was the cause, and a way to say that the exception has been delivered
(without it the next page fault counts as a double fault, the one after as a triple fault).
All three are in the bytes of a saved context, but where differs between builds. So the places
are found by raising two interrupts whose outcome is known and comparing.
"""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass
from typing import Any

from unicorn import UC_HOOK_INTR
from unicorn.x86_const import UC_X86_REG_CS

from toolstack.machine.emulator.cpu import Raised
from toolstack.machine.emulator.open_engine import UnknownEngine

_NONE_IN_FLIGHT = -1
_PROBE, _PROBE_SIZE = 0x8000, 0x1000
_PROBE_CODE = bytes.fromhex("cd 03 31 c9 f7 f1")
"""int 3; xor cx,cx; div cx"""


@dataclass(frozen=True, slots=True)
class ContextLayout:
    """Byte offsets of 32-bit fields inside a saved context."""

    error_code: int
    software: int
    in_flight: int

    @classmethod
    def from_probes(cls, after_int: bytes, after_divide_error: bytes) -> ContextLayout:
        """The layout, from a context saved after an INT and one after a divide error.

        Raises: UnknownEngine if a field is not found exactly once.
        """
        count = len(after_int) // 4
        before = struct.unpack_from(f"<{count}i", after_int)
        after = struct.unpack_from(f"<{count}i", after_divide_error)
        in_flight = [
            index
            for index in range(count)
            if before[index] == _NONE_IN_FLIGHT and after[index] == 0
        ]
        if len(in_flight) != 1:
            raise UnknownEngine("this build of Unicorn lays out its contexts in an unknown way")
        # The error code is the field before the flag, and both lie before `in_flight`.
        software = [
            index
            for index in range(1, in_flight[0])
            if before[index] == 1 and after[index] == 0 and before[index - 1] == 0
        ]
        if not software:
            raise UnknownEngine("this build of Unicorn does not tell faults from INT")
        return cls(
            error_code=4 * (software[-1] - 1),
            software=4 * software[-1],
            in_flight=4 * in_flight[0],
        )


def raised(engine: Any, layout: ContextLayout, vector: int) -> Raised:
    """What stopped `engine` at `vector`."""
    context = bytes(engine.context_save())
    (error_code,) = struct.unpack_from("<I", context, layout.error_code)
    (software,) = struct.unpack_from("<I", context, layout.software)
    return Raised(vector, software != 0, error_code)


def forget_exception(engine: Any, layout: ContextLayout) -> None:
    """Ends the exception in flight."""
    context = engine.context_save()
    address = ctypes.cast(context.context, ctypes.c_void_p).value
    assert address is not None
    ctypes.c_int32.from_address(address + layout.in_flight).value = _NONE_IN_FLIGHT
    engine.context_restore(context)


def probe_layout(engine: Any) -> ContextLayout:
    """The layout of this build, by an INT and a divide error run in `engine`.

    The engine has no memory yet, and is afterwards as it was. Raises: UnknownEngine.
    """
    unused = engine.context_save()
    engine.mem_map(_PROBE, _PROBE_SIZE)
    engine.mem_write(_PROBE, _PROBE_CODE)
    hook = engine.hook_add(UC_HOOK_INTR, lambda *_: engine.emu_stop())
    engine.reg_write(UC_X86_REG_CS, _PROBE >> 4)
    engine.emu_start(_PROBE, 0)
    after_int = bytes(engine.context_save())
    engine.emu_start(_PROBE + 2, 0)
    after_divide_error = bytes(engine.context_save())
    engine.hook_del(hook)
    engine.mem_unmap(_PROBE, _PROBE_SIZE)
    engine.context_restore(unused)
    return ContextLayout.from_probes(after_int, after_divide_error)
