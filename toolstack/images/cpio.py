"""Archives in the `newc` form of cpio, as the kernel unpacks them from an initrd.

Source: Linux, Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable
from dataclasses import dataclass

_MAGIC = b"070701"
_ALIGNMENT = 4
_NAME_MAX_BYTES = 4096
_FIELD_MAX = 0xFFFFFFFF
_TRAILER = "TRAILER!!!"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of an archive, owned by root."""

    name: str
    """path from the root of the archive, without a leading slash"""
    mode: int
    """type and permission bits, as in st_mode"""
    content: bytes = b""
    """bytes of a regular file, target of a symbolic link"""
    device: tuple[int, int] = (0, 0)
    """major and minor number of a device node"""


def directory(name: str) -> Entry:
    return Entry(name, stat.S_IFDIR | 0o755)


def regular(name: str, content: bytes, permissions: int = 0o644) -> Entry:
    return Entry(name, stat.S_IFREG | permissions, content)


def character_device(name: str, major: int, minor: int) -> Entry:
    return Entry(name, stat.S_IFCHR | 0o600, device=(major, minor))


def archive(entries: Iterable[Entry]) -> bytes:
    """The archive of `entries`, in their order; the same entries give the same bytes.

    Raises: ValueError for a name that is empty, absolute, too long or the trailer's, and
    for content beyond 4 GiB - 1.
    """
    parts: list[bytes] = []
    for inode, entry in enumerate(entries, 1):
        if not entry.name or entry.name.startswith("/") or entry.name == _TRAILER:
            raise ValueError(f"{entry.name!r} cannot be the name of an archive entry")
        parts.append(_record(inode, entry))
    parts.append(_record(0, Entry(_TRAILER, 0)))
    return b"".join(parts)


def _record(inode: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    if len(name) > _NAME_MAX_BYTES or b"\0" in name[:-1]:
        raise ValueError(f"{entry.name!r} is not a name of at most {_NAME_MAX_BYTES - 1} bytes")
    if len(entry.content) > _FIELD_MAX:
        raise ValueError(f"{entry.name!r} holds {len(entry.content):#x} bytes, limit 0xffffffff")
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (
        inode,
        entry.mode,
        0,  # uid
        0,  # gid
        links,
        0,  # mtime
        len(entry.content),
        0,  # major and minor of the device the archive was made on
        0,
        *entry.device,
        len(name),
        0,  # checksum, only in the `crc` form
    )
    header = _MAGIC + b"".join(b"%08X" % field for field in fields)
    return _padded(header + name) + _padded(entry.content)


def _padded(part: bytes) -> bytes:
    return part + bytes(-len(part) % _ALIGNMENT)
