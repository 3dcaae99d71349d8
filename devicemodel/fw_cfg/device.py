"""The device: a selector, a data port, and copies by DMA into and within guest RAM.

It is a state machine without I/O but for the GuestRam port. What a guest does to it is never an
error of ours: a selector that names nothing reads as zeros, a bad DMA block is answered in its
control word. Odd accesses do what QEMU 7.2 does with them; the tests compare the two.

Source: docs/specs/fw_cfg.rst of QEMU.
"""

from __future__ import annotations

from typing import Final

from devicemodel.fw_cfg.blob import Blob
from devicemodel.fw_cfg.dma import Control, DmaBlock, answer_block, read_block
from devicemodel.fw_cfg.items import Items
from handoff.addresses import GPA_LIMIT, Gpa, GpaRange
from handoff.errors import RamAccessError
from handoff.guest_ram import GuestRam

PORTS: Final = range(0x510, 0x51C)
SELECTOR_PORT: Final = 0x510
DATA_PORT: Final = 0x511
DMA_HIGH_PORT: Final = 0x514
DMA_LOW_PORT: Final = 0x518
DMA_SIGNATURE: Final = b"QEMU CFG"
"""What the DMA registers read as."""
CHUNK_BYTES: Final = 1 << 20
"""Most that is held of an item at once."""


class FwCfg:
    """One device of one guest; implements PortDevice of devicemodel.io_dispatch."""

    def __init__(self, items: Items, ram: GuestRam) -> None:
        self._items = items
        self._ram = ram
        self._item: Blob | None = items.get(0)
        self._offset = 0
        self._dma_high = 0

    def read(self, port: int, size: int) -> int:
        """What IN of `size` bytes at `port`, one of PORTS, gives."""
        if port == SELECTOR_PORT and size > 1:
            return 0
        data = bytes(self._read_byte(port + number) for number in range(size))
        return int.from_bytes(data, "little")

    def read_string(self, port: int, size: int, count: int) -> bytes:
        """The same `count` times over, as REP INS has it."""
        if (port, size) == (DATA_PORT, 1):
            return self._take(count)
        return b"".join(self.read(port, size).to_bytes(size, "little") for _ in range(count))

    def write(self, port: int, size: int, value: int) -> None:
        """OUT of `size` bytes at `port`, one of PORTS.

        Raises: ImageError if a host file that a DMA copy reads was cut.
        """
        if (port, size) == (SELECTOR_PORT, 2):
            self._select(value)
        elif (port, size) == (DMA_HIGH_PORT, 4):
            self._dma_high = _swapped(value)
        elif (port, size) == (DMA_LOW_PORT, 4):
            at = self._dma_high << 32 | _swapped(value)
            self._dma_high = 0
            self._dma(at)

    def _read_byte(self, port: int) -> int:
        if port in (SELECTOR_PORT, DATA_PORT):
            return self._take(1)[0]
        if DMA_HIGH_PORT <= port < PORTS.stop:
            return DMA_SIGNATURE[port - DMA_HIGH_PORT]
        return 0xFF

    def _select(self, selector: int) -> None:
        self._item = self._items.get(selector)
        self._offset = 0

    def _left(self) -> int:
        """Bytes of the item behind the offset."""
        return 0 if self._item is None else max(self._item.size - self._offset, 0)

    def _take(self, size: int) -> bytes:
        """The next `size` bytes; zeros behind the end of the item."""
        inside = min(size, self._left())
        if self._item is None or inside == 0:
            return bytes(size)
        data = self._item.read_at(self._offset, inside)
        self._offset += inside
        return data.ljust(size, b"\0")

    # DMA.

    def _dma(self, at: int) -> None:
        block = read_block(self._ram, at)
        if block is None:
            answer_block(self._ram, at, Control.ERROR)
            return
        if block.control & Control.SELECT:
            self._select(block.selector)
        answer_block(self._ram, at, Control(0) if self._copy(block) else Control.ERROR)

    def _copy(self, block: DmaBlock) -> bool:
        """Does what the block wants; False if it cannot be done."""
        inside = min(block.length, self._left())
        if block.control & Control.READ:
            done = block.length == 0 or self._read_to(block.address, inside, block.length - inside)
        elif block.control & Control.WRITE:
            # No item here can be written.
            done = block.length == 0
        else:
            done = True
            inside = inside if block.control & Control.SKIP else 0
        self._offset += inside
        return done

    def _read_to(self, address: int, inside: int, zeros: int) -> bool:
        """Copies `inside` bytes of the item to `address`, and `zeros` behind them.

        False if a byte of that is not RAM; what lies before it may have been written, as by
        any DMA.
        """
        if address + inside + zeros > GPA_LIMIT:
            return False
        ram, item = self._ram, self._item
        try:
            for done in range(0, inside, CHUNK_BYTES):
                assert item is not None
                size = min(CHUNK_BYTES, inside - done)
                ram.write(Gpa(address + done), item.read_at(self._offset + done, size))
            if zeros:
                ram.fill(GpaRange(Gpa(address + inside), zeros), 0)
        except RamAccessError:
            return False
        return True


def _swapped(value: int) -> int:
    """The DMA registers are big-endian."""
    return int.from_bytes(value.to_bytes(4, "little"), "big")
