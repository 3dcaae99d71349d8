"""The BIOS extension as the expansion ROM of a PCI device, under SeaBIOS.

QEMU outside Xen has no Xen platform device: its test device stands for it, under other ids.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from devicemodel.bios_extension.block import DEFAULT_BLOCK_GPA
from devicemodel.bios_extension.block_codec import encode
from devicemodel.bios_extension.rom import PCI_ID, rom_image
from tests.devicemodel.bios_extension.bench import Bench, real_mode_block
from tests.devicemodel.bios_extension.seabios import FINISHED, run

TEST_DEVICE = (0x1B36, 0x0005)


def for_device(folder: Path, ids: tuple[int, int]) -> Path:
    """The ROM file, its PCI data structure naming this device."""
    image = bytearray(rom_image())
    (at,) = struct.unpack_from("<H", image, 0x18)
    struct.pack_into("<HH", image, at + 4, *ids)
    image[7] = 0
    image[7] = -sum(image) % 256
    path = folder / f"{ids[0]:04x}.rom"
    path.write_bytes(image)
    return path


def as_rom_of_test_device(rom: Path) -> list[str]:
    return ["-device", f"pci-testdev,romfile={rom}", "-boot", "order=n,menu=off"]


@pytest.mark.parametrize("machine", ["pc", "q35"])
def test_firmware_deploys_it_and_enters_its_bev(bench: Bench, machine: str) -> None:
    block, staged = real_mode_block(bench)
    ended = run(
        {int(DEFAULT_BLOCK_GPA): encode(block)} | staged,
        [],
        machine=machine,
        options=as_rom_of_test_device(for_device(bench.folder, TEST_DEVICE)),
    )
    assert ended.status == FINISHED, ended.serial


def test_it_goes_before_a_disk_where_network_boot_is_first(bench: Bench) -> None:
    disk = bench.folder / "disk"
    disk.write_bytes(bytes([0xFA, 0xF4]).ljust(510, b"\0") + b"\x55\xaa")  # cli, hlt
    block, staged = real_mode_block(bench)
    options = as_rom_of_test_device(for_device(bench.folder, TEST_DEVICE))
    options += ["-drive", f"file={disk},format=raw,if=ide,snapshot=on"]
    ended = run({int(DEFAULT_BLOCK_GPA): encode(block)} | staged, [], options=options)
    assert ended.status == FINISHED, ended.serial


def test_the_rom_of_another_device_is_left_alone(bench: Bench) -> None:
    # Behind it in the boot order, a copy that firmware has as a file says that it was reached.
    rom = for_device(bench.folder, PCI_ID)
    options = as_rom_of_test_device(rom)
    ended = run({}, [bench.our_rom()], options=options, stop_at="Halted.\r\n")
    assert ended.serial.count("Halted.") == 1
