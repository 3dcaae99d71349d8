"""Linux's xenstore device as a hostile device model's wire, one request at a time."""

from __future__ import annotations

import os
import select
import stat

DEVICE = "/dev/xen/xenbus"
_READ_BYTES = 1 << 16


class DeviceWire:
    """Implements the port Wire. A write carries one whole message; it is never half done."""

    def __init__(self, fd: int) -> None:
        """fd: is ours now."""
        self._fd = fd

    @classmethod
    def open(cls) -> DeviceWire:
        """Raises: OSError."""
        return cls(os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC))

    def send(self, data: bytes, seconds: float) -> None:
        os.write(self._fd, data)

    def receive(self, seconds: float) -> bytes:
        if not select.select([self._fd], [], [], seconds)[0]:
            raise TimeoutError
        return os.read(self._fd, _READ_BYTES)


def is_device(fd: int) -> bool:
    """Whether this descriptor is a device's, and not a socket's."""
    return stat.S_ISCHR(os.fstat(fd).st_mode)
