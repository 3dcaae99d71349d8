"""CRC-32C (Castagnoli) of short byte strings.

A table of 256 entries and a loop: frames are a few KiB at most, and the packages that offer
it cost more to import than all frames of a boot cost to check.
Source: RFC 3720, appendix B.4 (polynomial 0x1edc6f41, reflected 0x82f63b78).
"""

from __future__ import annotations


def _table() -> tuple[int, ...]:
    entries = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        entries.append(byte)
    return tuple(entries)


_TABLE = _table()


def crc32c(data: bytes) -> int:
    """CRC-32C of `data`, 0..2^32-1."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF
