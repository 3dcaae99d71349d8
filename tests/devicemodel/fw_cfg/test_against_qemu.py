"""The device answers every sequence of accesses as QEMU's own does."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devicemodel.fw_cfg.blob import Blob, BytesBlob
from devicemodel.fw_cfg.device import DMA_HIGH_PORT, DMA_LOW_PORT, PORTS, FwCfg
from devicemodel.fw_cfg.items import Items
from devicemodel.fw_cfg.keys import ARCH_LOCAL, KEY_LIMIT
from handoff.addresses import MIB, Gpa, GpaRange
from handoff.guest_ram import MemfdRam, regions_for
from tests.builders import small_ram
from tests.devicemodel.fw_cfg.qtest import QemuDevice, qemu_device

MEMORY_MIB = 32
ARENA = GpaRange.between(0x100000, 0x100400)
OUTSIDE = MEMORY_MIB * MIB
ITEM_BYTES = 600
"""Of each item, as much as these sequences can read."""
SELECTORS = st.one_of(st.integers(0, 0x48), st.sampled_from((0x4000, 0x8000, 0x8003, 0xC001)))


@pytest.fixture(scope="module")
def qemu() -> Iterator[QemuDevice]:
    with qemu_device(MEMORY_MIB) as device:
        yield device


@pytest.fixture(scope="module")
def items(qemu: QemuDevice) -> Items:
    """QEMU's own items. The end of one cannot be told from zeros; lengths differ by that."""
    found: dict[int, Blob] = {}
    for key in (*range(KEY_LIMIT), *range(ARCH_LOCAL, ARCH_LOCAL + 8)):
        # Twice: QEMU makes ACPI tables when they are first read.
        for _ in range(2):
            qemu.write(0x510, 2, key)
            content = bytes(qemu.read(0x511, 1) for _ in range(ITEM_BYTES))
        found[key] = BytesBlob(content.rstrip(b"\0"))
    return Items(found)


@pytest.fixture(scope="module")
def ram() -> Iterator[MemfdRam]:
    with small_ram(regions_for(MEMORY_MIB * MIB, Gpa(MEMORY_MIB * MIB))) as ram:
        yield ram


def block(control: int, length: int, address: int) -> bytes:
    return struct.pack(">IIQ", control, length, address)


def swapped(value: int) -> int:
    return int.from_bytes(value.to_bytes(4, "little"), "big")


Step = tuple[str, int, int, int]
PLACES = st.one_of(st.integers(ARENA.start, ARENA.end - 80), st.just(OUTSIDE), st.just(1 << 40))
STEPS = st.one_of(
    st.tuples(st.just("select"), SELECTORS, st.just(0), st.just(0)),
    st.tuples(st.just("in"), st.sampled_from(PORTS), st.sampled_from((1, 2, 4)), st.just(0)),
    st.tuples(
        st.just("out"),
        # DMA goes through "dma": a block anywhere would have RAM of one differ from the other's.
        st.sampled_from([port for port in PORTS if port not in (DMA_HIGH_PORT, DMA_LOW_PORT)]),
        st.sampled_from((1, 2, 4)),
        st.integers(0, 0x48),
    ),
    st.tuples(
        st.just("dma"),
        st.builds(lambda bits, key: key << 16 | bits, st.integers(0, 15), SELECTORS),
        st.integers(0, 64),
        PLACES,
    ),
)


@settings(max_examples=150)
@given(steps=st.lists(STEPS, max_size=12))
def test_every_sequence_has_the_same_answers_and_leaves_the_same_ram(
    qemu: QemuDevice, items: Items, ram: MemfdRam, steps: list[Step]
) -> None:
    device = FwCfg(items, ram)
    fresh = bytes(ARENA.size)
    ram.write(ARENA.start, fresh)
    qemu.write_ram(ARENA.start, fresh)
    qemu.write(0x510, 2, 0)
    device.write(0x510, 2, 0)
    for what, first, second, third in steps:
        if what == "select":
            qemu.write(0x510, 2, first)
            device.write(0x510, 2, first)
        elif what == "in":
            size = min(second, PORTS.stop - first)
            size = 2 if size == 3 else size
            assert device.read(first, size) == qemu.read(first, size), (first, size)
        elif what == "out":
            qemu.write(first, second, third)
            device.write(first, second, third)
        else:
            # The block lies where no target reaches.
            at = ARENA.end - 16
            content = block(first, second, third)
            qemu.write_ram(at, content)
            ram.write(Gpa(at), content)
            for port, value in ((DMA_HIGH_PORT, 0), (DMA_LOW_PORT, at)):
                qemu.write(port, 4, swapped(value))
                device.write(port, 4, swapped(value))
        assert ram.read(ARENA) == qemu.read_ram(ARENA.start, ARENA.size), (what, first)


@pytest.mark.parametrize("at", [OUTSIDE, OUTSIDE - 8, 1 << 40])
def test_a_block_outside_of_ram_is_answered_alike(
    qemu: QemuDevice, items: Items, ram: MemfdRam, at: int
) -> None:
    device = FwCfg(items, ram)
    last = GpaRange.between(OUTSIDE - 16, OUTSIDE)
    ram.write(last.start, bytes(16))
    qemu.write_ram(last.start, bytes(16))
    for port, value in ((DMA_HIGH_PORT, at >> 32), (DMA_LOW_PORT, at & 0xFFFFFFFF)):
        qemu.write(port, 4, swapped(value))
        device.write(port, 4, swapped(value))
    assert ram.read(last) == qemu.read_ram(last.start, last.size)
