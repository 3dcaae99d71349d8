"""The guest's physical memory in the engine: its RAM, a ROM below 4 GiB, and nothing else."""

from __future__ import annotations

import ctypes
import itertools
import mmap
from collections.abc import Callable, Sequence
from typing import Any

from unicorn import UC_PROT_ALL, UC_PROT_EXEC, UC_PROT_READ

from handoff.addresses import FOUR_GIB, GpaRange
from handoff.guest_ram import RamRegion

_SPLITS = (0xC0000, 0xE0000, 0xE8000, 0xF0000, 0x100000)
"""Where RAM below 1 MiB is mapped in pieces, so that ROM can be made read-only."""


class PhysicalMemory:
    """What `uc` has mapped; RAM is the guest's memory file itself, not a copy."""

    def __init__(
        self,
        uc: Any,
        ram_fd: int,
        regions: Sequence[RamRegion],
        bios: GpaRange | None,
        touched: Callable[[int], None],
    ) -> None:
        """Maps all of it.

        bios: where in guest RAM the bytes of a BIOS lie, which is then a ROM that ends at 4 GiB.
        touched: called with each address read or written below 4 GiB where nothing is.
        Raises: OSError.
        """
        self.ram = tuple(region.range for region in regions)
        self._uc = uc
        self._touched = touched
        self._maps: list[mmap.mmap] = []
        self._pins: list[ctypes.c_char] = []
        for region in regions:
            self._map_region(ram_fd, region)
        rom_start: int = FOUR_GIB
        if bios is not None:
            rom_start -= bios.size
            self._map_rom(rom_start, bytes(uc.mem_read(bios.start, bios.size)))
        self._map_devices(rom_start)

    def close(self) -> None:
        """Unmaps guest RAM, which the engine must not use any more."""
        self._pins.clear()
        for view in self._maps:
            view.close()

    def _map_region(self, ram_fd: int, region: RamRegion) -> None:
        view = mmap.mmap(ram_fd, region.range.size, offset=region.file_offset)
        host = self._pin(view)
        inner = [at for at in _SPLITS if region.range.start < at < region.range.end]
        edges = [region.range.start, *inner, region.range.end]
        for start, end in itertools.pairwise(edges):
            pointer = host + start - region.range.start
            self._uc.mem_map_ptr(start, end - start, UC_PROT_ALL, pointer)

    def _map_rom(self, start: int, content: bytes) -> None:
        view = mmap.mmap(-1, len(content))
        view[:] = content
        protection = UC_PROT_READ | UC_PROT_EXEC
        self._uc.mem_map_ptr(start, len(content), protection, self._pin(view))

    def _pin(self, view: mmap.mmap) -> int:
        """The address of `view` in this process."""
        pin = ctypes.c_char.from_buffer(view)
        self._maps.append(view)
        self._pins.append(pin)
        return ctypes.addressof(pin)

    def _map_devices(self, end: int) -> None:
        """Between the end of low RAM and `end` reads give all ones, writes are lost."""
        start = max(ram.end for ram in self.ram if ram.start < FOUR_GIB)
        if start == end:
            return

        def read(_uc: object, offset: int, size: int, _data: object) -> int:
            self._touched(start + offset)
            return int((1 << 8 * size) - 1)

        def write(_uc: object, offset: int, _size: int, _value: int, _data: object) -> None:
            self._touched(start + offset)

        self._uc.mmio_map(start, end - start, read, None, write, None)
