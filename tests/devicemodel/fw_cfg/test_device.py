"""The device by itself: what QEMU cannot show, and what no guest may reach."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.fw_cfg.blob import BytesBlob, ImageBlob, JoinedBlob
from devicemodel.fw_cfg.device import (
    CHUNK_BYTES,
    DATA_PORT,
    DMA_HIGH_PORT,
    DMA_LOW_PORT,
    PORTS,
    SELECTOR_PORT,
    FwCfg,
)
from devicemodel.fw_cfg.items import FwCfgFile, machine_items
from devicemodel.fw_cfg.keys import Key
from devicemodel.images.source import host_image
from handoff.addresses import MIB, Gpa, GpaRange
from handoff.descriptor import Role
from handoff.errors import ImageError
from handoff.guest_ram import MemfdRam, RamRegion
from tests.builders import POISON, host_file, noise, small_ram

RAM = GpaRange.between(0x100000, 0x500000)
BLOCK = Gpa(0x100000)
TARGET = Gpa(0x200000)
CONTENT = noise(CHUNK_BYTES + 4321, 7)
FILE = noise(777, 8)


@pytest.fixture
def ram() -> Iterator[MemfdRam]:
    with small_ram((RamRegion(RAM, 0),)) as ram:
        yield ram


def device(ram: MemfdRam) -> FwCfg:
    boot = {Key.KERNEL_DATA: JoinedBlob.of((BytesBlob(CONTENT[:99]), BytesBlob(CONTENT[99:])))}
    files = (FwCfgFile("opt/two", BytesBlob(FILE)), FwCfgFile("bootorder", BytesBlob(b"x\0")))
    return FwCfg(machine_items(4 * MIB, 3, boot, files), ram)


def select(fw_cfg: FwCfg, key: int) -> None:
    fw_cfg.write(SELECTOR_PORT, 2, key)


def dma(fw_cfg: FwCfg, ram: MemfdRam, control: int, length: int, address: int) -> int:
    """The control word after a block of these fields was handed in."""
    ram.write(BLOCK, struct.pack(">IIQ", control, length, address))
    fw_cfg.write(DMA_HIGH_PORT, 4, 0)
    fw_cfg.write(DMA_LOW_PORT, 4, int.from_bytes(BLOCK.to_bytes(4, "little"), "big"))
    return int.from_bytes(ram.read(GpaRange(BLOCK, 4)), "big")


def test_a_string_read_is_the_same_reads_one_by_one(ram: MemfdRam) -> None:
    one, many = device(ram), device(ram)
    for port, size in ((DATA_PORT, 1), (DATA_PORT, 2), (0x514, 4), (SELECTOR_PORT, 1)):
        for fw_cfg in (one, many):
            select(fw_cfg, Key.KERNEL_DATA)
        singly = b"".join(one.read(port, size).to_bytes(size, "little") for _ in range(50))
        assert many.read_string(port, size, 50) == singly


def test_an_item_larger_than_a_chunk_is_copied_whole_and_followed_by_zeros(ram: MemfdRam) -> None:
    fw_cfg = device(ram)
    wanted = len(CONTENT) + 1000
    control = Key.KERNEL_DATA << 16 | 0x0A
    assert dma(fw_cfg, ram, control, wanted, TARGET) == 0
    assert ram.read(GpaRange(TARGET, wanted)) == CONTENT + bytes(1000)
    assert ram.read(GpaRange(Gpa(TARGET + wanted), 1))[0] == POISON


def test_a_copy_goes_on_where_the_last_one_ended(ram: MemfdRam) -> None:
    fw_cfg = device(ram)
    select(fw_cfg, Key.KERNEL_DATA)
    for at in range(0, 300, 100):
        assert dma(fw_cfg, ram, 0x02, 100, TARGET + at) == 0
    assert ram.read(GpaRange(TARGET, 300)) == CONTENT[:300]


def test_the_directory_names_files_in_order_and_their_selectors_read_them(ram: MemfdRam) -> None:
    fw_cfg = device(ram)
    select(fw_cfg, Key.FILE_DIR)
    directory = fw_cfg.read_string(DATA_PORT, 1, 4 + 2 * 64)
    assert directory[:4] == (2).to_bytes(4, "big")
    entries = [struct.unpack(">IHH56s", directory[at : at + 64]) for at in (4, 68)]
    named = [(size, key, name.rstrip(b"\0")) for size, key, _, name in entries]
    assert named == [(2, 0x20, b"bootorder"), (len(FILE), 0x21, b"opt/two")]
    select(fw_cfg, 0x21)
    assert fw_cfg.read_string(DATA_PORT, 1, len(FILE)) == FILE


def test_numbers_are_little_endian(ram: MemfdRam) -> None:
    fw_cfg = device(ram)
    for key, expected in ((Key.RAM_SIZE, 4 * MIB), (Key.NB_CPUS, 3), (Key.ID, 3)):
        select(fw_cfg, key)
        assert int.from_bytes(fw_cfg.read_string(DATA_PORT, 1, 8), "little") == expected


def test_a_host_file_that_was_cut_meanwhile_is_an_error_of_the_device_model(ram: MemfdRam) -> None:
    with host_file(FILE) as file:
        blob = ImageBlob(host_image(Role.KERNEL, file).whole())
        fw_cfg = FwCfg(machine_items(4 * MIB, 1, {Key.KERNEL_DATA: blob}), ram)
        file.truncate(100)
        select(fw_cfg, Key.KERNEL_DATA)
        with pytest.raises(ImageError, match="cut while the guest read it"):
            fw_cfg.read_string(DATA_PORT, 1, 200)


@pytest.mark.parametrize("address", [RAM.end - 4, RAM.end, 0, (1 << 64) - 4, (1 << 52) - 4])
def test_a_target_that_leaves_ram_is_answered_with_an_error(ram: MemfdRam, address: int) -> None:
    assert dma(device(ram), ram, Key.KERNEL_DATA << 16 | 0x0A, 8, address) == 1


Access = tuple[str, int, int] | tuple[str, int, int, int]
ACCESSES = st.one_of(
    st.tuples(st.just("in"), st.sampled_from(PORTS), st.sampled_from((1, 2, 4))),
    st.tuples(
        st.just("string"), st.sampled_from(PORTS), st.sampled_from((1, 2, 4)), st.integers(1, 300)
    ),
    st.tuples(
        st.just("out"),
        st.sampled_from(PORTS),
        st.sampled_from((1, 2, 4)),
        st.integers(0, 0xFFFFFFFF),
    ),
    st.tuples(
        st.just("dma"),
        st.integers(0, 0xFFFFFFFF),
        st.one_of(st.integers(0, 0xFFFFFFFF), st.integers(0, 5000)),
        st.one_of(st.integers(0, (1 << 64) - 1), st.integers(RAM.start, RAM.end)),
    ),
)


@given(accesses=st.lists(ACCESSES, max_size=20))
def test_nothing_that_a_guest_does_is_an_error_of_ours(
    accesses: list[tuple[str, int, ...]],
) -> None:
    with small_ram((RamRegion(GpaRange.between(0x100000, 0x104000), 0),)) as ram:
        fw_cfg = device(ram)
        for what, *rest in accesses:
            if what == "in":
                port, size = rest
                assert 0 <= fw_cfg.read(port, size) < 1 << 8 * size
            elif what == "string":
                port, size, count = rest
                assert len(fw_cfg.read_string(port, size, count)) == size * count
            elif what == "out":
                fw_cfg.write(*rest)
            else:
                answer = dma(fw_cfg, ram, *rest)
                # The block may lie in its own target; else it is answered.
                overwritten = rest[2] < BLOCK + 4 and rest[2] + rest[1] > BLOCK
                assert answer in (0, 1) or overwritten
