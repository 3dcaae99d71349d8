"""Where decoders write: one buffer of a fixed size."""

from __future__ import annotations

from typing import Final

WINDOW_MAX_BYTES: Final = 160 << 20
"""Most memory a decoder may take for itself. Linux is packed with windows of up to 128 MiB."""
CHUNK_BYTES: Final = 1 << 20
"""What is asked of a library at a time."""


class Damaged(Exception):
    """A packed stream that cannot be unpacked; the text says why. Never leaves the parsers."""


class Output:
    """`size` bytes, filled from the start."""

    def __init__(self, size: int) -> None:
        self.data = bytearray(size)
        self.filled = 0

    @property
    def room(self) -> int:
        """Bytes that are still to come."""
        return len(self.data) - self.filled

    def append(self, part: bytes | memoryview) -> None:
        """Raises: Damaged if it is more than there is room for."""
        if len(part) > self.room:
            raise Damaged(f"it goes on behind the {len(self.data):#x} bytes it says it has")
        self.data[self.filled : self.filled + len(part)] = part
        self.filled += len(part)
