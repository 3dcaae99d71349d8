"""A logger for Xen's libraries that writes nothing.

Without one they write lines of their own to standard error, into the middle of ours. What they
would say is in the errno of the call that failed, and that is told in our words.
"""

from __future__ import annotations

import ctypes
from typing import Final

_POINTER: Final = ctypes.c_void_p
VMESSAGE: Final = ctypes.CFUNCTYPE(
    None, _POINTER, ctypes.c_int, ctypes.c_int, _POINTER, _POINTER, _POINTER
)
"""logger, level, errno, context, format, va_list: never looked at, and in every ABI of Xen's
passed as a pointer is."""
PROGRESS: Final = ctypes.CFUNCTYPE(
    None, _POINTER, _POINTER, _POINTER, ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong
)
DESTROY: Final = ctypes.CFUNCTYPE(None, _POINTER)


class XenLogger(ctypes.Structure):
    """struct xentoollog_logger; the handle that was opened with it needs it as long as it lives.

    Source: xentoollog.h.
    """

    _fields_ = [("vmessage", VMESSAGE), ("progress", PROGRESS), ("destroy", DESTROY)]

    @property
    def address(self) -> int:
        """As a foreign function is given it."""
        return ctypes.addressof(self)


def silent_logger() -> XenLogger:
    """A new one."""
    return XenLogger(VMESSAGE(_nothing), PROGRESS(_nothing), DESTROY(_nothing))


def _nothing(*_: object) -> None:
    pass
