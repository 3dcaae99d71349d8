"""Guests for tests: a little RAM in a memory file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from handoff.addresses import MIB
from handoff.guest_ram import create_ram_file, regions_for
from handoff.platforms import Platform, low_ram_limit, memory_map
from toolstack.machine.port import Disk, Hardware


@contextmanager
def hardware(memory_bytes: int = 64 * MIB, disks: tuple[Disk, ...] = ()) -> Iterator[Hardware]:
    limit = low_ram_limit(Platform.QEMU_PC, memory_bytes)
    fd = create_ram_file("test-guest", memory_bytes)
    try:
        yield Hardware(
            name="test guest, with a comma",
            ram_fd=fd,
            regions=regions_for(memory_bytes, limit),
            memory_bytes=memory_bytes,
            e820=memory_map(memory_bytes, limit),
            disks=disks,
        )
    finally:
        os.close(fd)
