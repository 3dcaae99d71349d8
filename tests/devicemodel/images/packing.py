"""Packs a kernel in each format, as Linux's build does: `payload` with the size behind it."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import subprocess

import lz4.block
import zstandard

from devicemodel.images.compression import Format

_LZ4_CHUNK = 8 << 20


def packed(content: bytes, format: Format) -> bytes:
    """One stream, quickly rather than small."""
    match format:
        case Format.GZIP:
            return gzip.compress(content, 1, mtime=0)
        case Format.BZIP2:
            return bz2.compress(content, 1)
        case Format.LZMA:
            return lzma.compress(content, lzma.FORMAT_ALONE, preset=0)
        case Format.XZ:
            filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 0}]
            return lzma.compress(content, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters)
        case Format.LZO:
            return _filter("lzop", "-1", content)
        case Format.LZ4:
            chunks = [content[at : at + _LZ4_CHUNK] for at in range(0, len(content), _LZ4_CHUNK)]
            blocks = [lz4.block.compress(chunk, store_size=False) for chunk in chunks]
            framed = b"".join(struct.pack("<I", len(block)) + block for block in blocks)
            return b"\x02\x21\x4c\x18" + framed
        case Format.ZSTD:
            # As a stream: without its size in the frame, and with the window of the kernel's build.
            parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
            stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
            return stream.compress(content) + stream.flush()


def payload(content: bytes, format: Format) -> bytes:
    """What a bzImage holds: gzip ends with the size by itself."""
    size = b"" if format is Format.GZIP else struct.pack("<I", len(content))
    return packed(content, format) + size


def _filter(program: str, option: str, content: bytes) -> bytes:
    done = subprocess.run(
        (program, option), input=content, stdout=subprocess.PIPE, check=True, timeout=60
    )
    return done.stdout
