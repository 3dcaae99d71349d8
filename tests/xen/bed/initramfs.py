"""Packs a tree's files for the kernel's early user space."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from itertools import chain
from typing import Final

import lz4.block

from toolstack.images.cpio import Entry, archive, character_device, directory

_LEGACY_MAGIC: Final = 0x184C2102
_BLOCK_BYTES: Final = 8 << 20
_MOUNT_POINTS: Final = ("dev", "proc", "sys", "run", "tmp", "root", "etc", "var")


def pack(entries: Iterable[Entry]) -> bytes:
    """The archive of `entries` and of what every root needs, packed.

    Nothing can follow it in an initrd: Linux takes all that comes after the last block of this
    form of lz4 for a further one.
    """
    given = list(entries)
    names = {entry.name for entry in given}
    root = [directory(name) for name in _MOUNT_POINTS if name not in names]
    # The kernel opens /dev/console for init before anything is mounted.
    console = character_device("dev/console", 5, 1)
    return _lz4_legacy(archive(chain(root, [console], given)))


def _lz4_legacy(content: bytes) -> bytes:
    """Source: lz4, doc/lz4_Frame_format.md, "Legacy frame"."""
    view = memoryview(content)
    parts = [struct.pack("<I", _LEGACY_MAGIC)]
    for start in range(0, len(view), _BLOCK_BYTES):
        block = lz4.block.compress(view[start : start + _BLOCK_BYTES], store_size=False)
        parts += (struct.pack("<I", len(block)), block)
    return b"".join(parts)
