"""The items of one fw_cfg device, by selector, with the directory of its files."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from devicemodel.fw_cfg.blob import Blob, BytesBlob
from devicemodel.fw_cfg.keys import ARCH_LOCAL, FIRST_FILE, KEY_LIMIT, WRITE_CHANNEL, Key

SIGNATURE: Final = b"QEMU"
TRADITIONAL_INTERFACE: Final = 1
DMA_INTERFACE: Final = 2
FILE_NAME_BYTES: Final = 56
_DIRECTORY_ENTRY: Final = struct.Struct(f">IHH{FILE_NAME_BYTES}s")
assert _DIRECTORY_ENTRY.size == 64


def u16(value: int) -> BytesBlob:
    """`value` as fw_cfg has small numbers."""
    return BytesBlob(struct.pack("<H", value))


def u32(value: int) -> BytesBlob:
    """`value` as fw_cfg has addresses and sizes."""
    return BytesBlob(struct.pack("<I", value))


@dataclass(frozen=True, slots=True)
class FwCfgFile:
    """An item found by its name."""

    name: str
    """printable ASCII, shorter than FILE_NAME_BYTES"""
    content: Blob


@dataclass(frozen=True, slots=True)
class Items:
    """Every item of the device; a selector that is not among them reads as zeros."""

    by_key: Mapping[int, Blob]

    def __post_init__(self) -> None:
        for key in self.by_key:
            assert key & ~(ARCH_LOCAL | WRITE_CHANNEL) < KEY_LIMIT, hex(key)
            assert not key & WRITE_CHANNEL, hex(key)

    def get(self, selector: int) -> Blob | None:
        """The item of `selector`, a 16-bit value of the guest; None if there is none."""
        return self.by_key.get(selector & ~WRITE_CHANNEL)


def machine_items(
    ram_bytes: int,
    cpus: int,
    boot: Mapping[int, Blob],
    files: tuple[FwCfgFile, ...] = (),
) -> Items:
    """All items of a machine: what every one has, the items of a boot method, and files.

    ram_bytes: all RAM of the guest. The files get their selectors in the order of their names.
    """
    ordered = sorted(files, key=lambda file: file.name)
    assert len(ordered) <= KEY_LIMIT - FIRST_FILE
    by_key: dict[int, Blob] = {
        Key.SIGNATURE: BytesBlob(SIGNATURE),
        Key.ID: u32(TRADITIONAL_INTERFACE | DMA_INTERFACE),
        Key.RAM_SIZE: BytesBlob(struct.pack("<Q", ram_bytes)),
        Key.NB_CPUS: u16(cpus),
        Key.MAX_CPUS: u16(cpus),
        Key.FILE_DIR: BytesBlob(_directory(ordered)),
        **{FIRST_FILE + number: file.content for number, file in enumerate(ordered)},
    }
    by_key.update(boot)
    return Items(MappingProxyType(by_key))


def _directory(files: list[FwCfgFile]) -> bytes:
    entries = [
        _DIRECTORY_ENTRY.pack(file.content.size, FIRST_FILE + number, 0, _name(file.name))
        for number, file in enumerate(files)
    ]
    return b"".join((struct.pack(">I", len(files)), *entries))


def _name(name: str) -> bytes:
    encoded = name.encode("ascii")
    assert 0 < len(encoded) < FILE_NAME_BYTES, name
    assert name.isprintable(), name
    return encoded
