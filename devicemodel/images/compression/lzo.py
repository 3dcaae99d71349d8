"""LZO1X in an lzop file, in Python: there is no decoder on PyPI that installs without a compiler.

Checksums are not looked at: the image's own digest was.
Sources: Documentation/staging/lzo.rst and lib/decompress_unlzo.c (header layout) in Linux.
"""

from __future__ import annotations

import struct
from typing import Final

from devicemodel.images.compression.output import Damaged, Output

_MAGIC: Final = b"\x89LZO\0\r\n\x1a\n"
_BLOCK_MAX_BYTES: Final = 64 << 20

# Flags of the header: which checksums each block has, and what else the header holds.
_ADLER32_UNPACKED: Final = 0x0001
_ADLER32_PACKED: Final = 0x0002
_EXTRA_FIELD: Final = 0x0040
_CRC32_UNPACKED: Final = 0x0100
_CRC32_PACKED: Final = 0x0200
_MULTIPART: Final = 0x0400
_FILTER: Final = 0x0800
_LEVEL_SINCE: Final = 0x0940
"""Version of lzop whose headers have a level and a 64-bit time."""


class _Header:
    """Takes big-endian fields off the front."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.at = 0

    def take(self, form: str) -> int:
        size = struct.calcsize(form)
        if self.at + size > len(self._data):
            raise Damaged("its lzop header or a block's is cut short")
        (value,) = struct.unpack_from(form, self._data, self.at)
        self.at += size
        return int(value)

    def skip(self, size: int) -> None:
        self.at += size


def unpack_lzop(packed: memoryview, output: Output) -> None:
    """Raises: Damaged."""
    header = _Header(packed)
    if bytes(packed[: len(_MAGIC)]) != _MAGIC:
        raise Damaged("its lzop header does not start with 894c5a4f000d0a1a0a")
    header.skip(len(_MAGIC))
    version = header.take(">H")
    header.skip(2)  # of the library
    if version >= _LEVEL_SINCE:
        header.skip(2)  # version needed to extract
    method = header.take(">B")
    if method not in (1, 2, 3):
        raise Damaged(f"its lzop method is {method}, LZO1X is 1 to 3")
    if version >= _LEVEL_SINCE:
        header.skip(1)
    flags = header.take(">I")
    if flags & (_FILTER | _MULTIPART):
        raise Damaged(f"its lzop flags are {flags:#x}: filters and parts are not unpacked")
    header.skip(8 + (4 if version >= _LEVEL_SINCE else 0))  # mode, time
    header.skip(header.take(">B") + 4)  # name, checksum
    if flags & _EXTRA_FIELD:
        header.skip(header.take(">I") + 4)
    _blocks(packed, header, flags, output)


def _blocks(packed: memoryview, header: _Header, flags: int, output: Output) -> None:
    while size := header.take(">I"):
        packed_size = header.take(">I")
        if size > min(output.room, _BLOCK_MAX_BYTES) or packed_size > size:
            raise Damaged(
                f"a block of {packed_size:#x} bytes for {size:#x} follows {output.filled:#x} "
                f"of {len(output.data):#x} bytes"
            )
        header.skip(4 * ((flags & _ADLER32_UNPACKED > 0) + (flags & _CRC32_UNPACKED > 0)))
        if packed_size < size:
            header.skip(4 * ((flags & _ADLER32_PACKED > 0) + (flags & _CRC32_PACKED > 0)))
        block = packed[header.at : header.at + packed_size]
        if len(block) < packed_size:
            raise Damaged(f"a block has {packed_size:#x} bytes, {len(block):#x} are left")
        header.skip(packed_size)
        output.append(block if packed_size == size else unpack_lzo1x(bytes(block), size))


def unpack_lzo1x(source: bytes, size: int) -> bytes:
    """The `size` bytes that one LZO1X stream unpacks to. Raises: Damaged."""
    try:
        out = _lzo1x(source, size)
    except IndexError as error:
        raise Damaged("an LZO1X block is cut short") from error
    if len(out) != size:
        raise Damaged(f"an LZO1X block unpacks to {len(out):#x} bytes, says {size:#x}")
    return bytes(out)


def _lzo1x(source: bytes, limit: int) -> bytearray:
    """Raises: Damaged, IndexError where the source ends too early.

    state: literals the instruction before ended with, 4 for four or more; it gives short
    instructions their meaning.
    """
    out = bytearray()
    at = state = 0
    if source[0] > 17:
        count = source[0] - 17
        out += source[1 : 1 + count]
        at, state = 1 + count, min(count, 4)
    while True:
        word = source[at]
        at += 1
        if word >= 64:
            length = (word >> 5) + 1
            distance = (source[at] << 3) + (word >> 2 & 7) + 1
            at += 1
            state = word & 3
        elif word >= 16:
            mask = 31 if word >= 32 else 7
            length = word & mask
            if length == 0:
                zeros = at
                while source[at] == 0:
                    at += 1
                length = mask + 255 * (at - zeros) + source[at]
                at += 1
            length += 2
            pair = source[at] | source[at + 1] << 8
            at += 2
            distance = pair >> 2
            state = pair & 3
            if word >= 32:
                distance += 1
            else:
                distance += (word & 8) << 11
                if distance == 0:
                    return out
                distance += 0x4000
        elif state == 0:
            length = word
            if length == 0:
                zeros = at
                while source[at] == 0:
                    at += 1
                length = 15 + 255 * (at - zeros) + source[at]
                at += 1
            length += 3
            out += source[at : at + length]
            at += length
            state = 4
            continue
        else:
            distance = (source[at] << 2) + (word >> 2) + 1
            at += 1
            length = 2
            if state == 4:
                distance += 0x800
                length = 3
            state = word & 3
        start = len(out) - distance
        if start < 0 or len(out) + length > limit:
            raise Damaged(f"an LZO1X match reaches out of its block after {len(out):#x} bytes")
        if distance >= length:
            out += out[start : start + length]
        else:
            run = out[start:]
            out += (run * (length // distance + 1))[:length]
        if state:
            out += source[at : at + state]
            at += state
