"""Packed formats by their first bytes, and a decoder for each.

Every library is imported here and used through objects that take and give a bounded piece at a
time. The strict one-call functions of the same libraries refuse what kernels have: a length behind
the stream, no length in it, or the LZ4 frame of 2011.
Source: scripts/Makefile.lib and lib/decompress.c in Linux.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

import lz4.block
import zstandard

from devicemodel.images.compression.lzo import unpack_lzop
from devicemodel.images.compression.output import CHUNK_BYTES, WINDOW_MAX_BYTES, Damaged, Output

_GZIP_WINDOW: Final = 31
"""wbits for zlib: a gzip header, the largest window."""
_LZ4_CHUNK_BYTES: Final = 8 << 20
_LZ4_LEGACY: Final = b"\x02\x21\x4c\x18"
_ZSTD_WINDOW_BYTES: Final = 128 << 20


class Format(Enum):
    GZIP = "gzip"
    BZIP2 = "bzip2"
    LZMA = "lzma"
    XZ = "xz"
    LZO = "lzo"
    LZ4 = "lz4"
    ZSTD = "zstd"


_MAGICS: Final = (
    (b"\x1f\x8b", Format.GZIP),
    (b"\x1f\x9e", Format.GZIP),
    (b"BZh", Format.BZIP2),
    (b"\x5d\x00\x00", Format.LZMA),
    (b"\xfd7zXZ\0", Format.XZ),
    (b"\x89LZO", Format.LZO),
    (_LZ4_LEGACY, Format.LZ4),
    (b"\x28\xb5\x2f\xfd", Format.ZSTD),
)


class _Decompressor(Protocol):
    """What bz2's and lzma's objects have in common."""

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def format_of(head: bytes | memoryview) -> Format | None:
    """The format of a stream that starts with `head`, None if it is none of them."""
    start = bytes(head[:8])
    return next((format for magic, format in _MAGICS if start.startswith(magic)), None)


def unpack(packed: memoryview, format: Format, size: int) -> memoryview:
    """The `size` bytes, read-only, that the stream `packed` unpacks to.

    Raises: Damaged if it is no such stream, or holds more or fewer bytes.
    """
    output = Output(size)
    try:
        _DECODERS[format](packed, output)
    except (
        zlib.error,
        lzma.LZMAError,
        OSError,  # of bz2
        EOFError,
        ValueError,
        lz4.block.LZ4BlockError,
        zstandard.ZstdError,
    ) as error:
        raise Damaged(f"damaged after {output.filled:#x} bytes: {error}") from error
    if output.room:
        raise Damaged(f"it ends after {output.filled:#x} of {size:#x} bytes")
    return memoryview(output.data).toreadonly()


def _gzip(packed: memoryview, output: Output) -> None:
    decoder = zlib.decompressobj(_GZIP_WINDOW)
    for at in range(0, len(packed), CHUNK_BYTES):
        waiting: bytes | memoryview = packed[at : at + CHUNK_BYTES]
        # A byte more than there is room for shows that it goes on.
        while waiting:
            output.append(decoder.decompress(waiting, min(CHUNK_BYTES, output.room + 1)))
            waiting = decoder.unconsumed_tail
        if decoder.eof:
            return
    raise Damaged("it is cut short")


def _bzip2(packed: memoryview, output: Output) -> None:
    _pull(bz2.BZ2Decompressor(), packed, output)


def _lzma(packed: memoryview, output: Output) -> None:
    decoder = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=WINDOW_MAX_BYTES)
    _pull(decoder, packed, output)


def _xz(packed: memoryview, output: Output) -> None:
    _pull(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=WINDOW_MAX_BYTES), packed, output)


def _pull(decoder: _Decompressor, packed: memoryview, output: Output) -> None:
    at = 0
    while not decoder.eof:
        given = b""
        if decoder.needs_input:
            given = bytes(packed[at : at + CHUNK_BYTES])
            at += len(given)
            if not given:
                raise Damaged("it is cut short")
        output.append(decoder.decompress(given, min(CHUNK_BYTES, output.room + 1)))


def _lzo(packed: memoryview, output: Output) -> None:
    unpack_lzop(packed, output)


def _lz4(packed: memoryview, output: Output) -> None:
    """The legacy frame: {u32 size, block} again and again, of up to 8 MiB each."""
    at = 0
    while output.room:
        if bytes(packed[at : at + 4]) == _LZ4_LEGACY:
            at += 4
            continue
        if at + 4 > len(packed):
            raise Damaged("it is cut short")
        (size,) = struct.unpack_from("<I", packed, at)
        block = packed[at + 4 : at + 4 + size]
        if size == 0 or len(block) < size:
            raise Damaged(f"block at {at:#x} has {size:#x} bytes, {len(block):#x} are left")
        room = min(_LZ4_CHUNK_BYTES, output.room)
        output.append(lz4.block.decompress(block, uncompressed_size=room))
        at += 4 + size


def _zstd(packed: memoryview, output: Output) -> None:
    decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    with decoder.stream_reader(packed, read_size=CHUNK_BYTES, closefd=False) as reader:
        while part := reader.read(min(CHUNK_BYTES, output.room + 1)):
            output.append(part)


_DECODERS: Final[dict[Format, Callable[[memoryview, Output], None]]] = {
    Format.GZIP: _gzip,
    Format.BZIP2: _bzip2,
    Format.LZMA: _lzma,
    Format.XZ: _xz,
    Format.LZO: _lzo,
    Format.LZ4: _lz4,
    Format.ZSTD: _zstd,
}
