"""Our argument list, and what the real QEMU makes of it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import trio

from handoff.addresses import GIB, MIB, Gpa, GpaRange
from handoff.errors import MachineError
from handoff.firmware import BiosRom, DirectEntry
from handoff.platforms import Platform, low_ram_limit
from tests.toolstack.machine.qemu.hardware import hardware
from toolstack.machine.port import Disk, Hardware
from toolstack.machine.qemu.arguments import Descriptors, arguments
from toolstack.machine.qemu.disks import OpenDisk
from toolstack.machine.qemu.qmp.session import QmpSession

LIMIT_S = 60.0
SPLIT = 3584 * MIB
assert low_ram_limit(Platform.QEMU_PC, SPLIT - MIB) != low_ram_limit(Platform.QEMU_PC, SPLIT)


def spawn(guest: Hardware, qmp: socket.socket) -> subprocess.Popen[bytes]:
    descriptors = Descriptors(ram=guest.ram_fd, qmp=qmp.fileno(), rom=None, disks=())
    return subprocess.Popen(
        ("qemu-system-x86_64", *arguments(guest, descriptors, ("-accel", "tcg"))),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        pass_fds=descriptors.all(),
    )


@asynccontextmanager
async def monitor_of(guest: Hardware) -> AsyncIterator[QmpSession]:
    """A session with a paused QEMU that was started with our arguments alone."""
    ours, its = socket.socketpair()
    process = spawn(guest, its)
    its.close()
    try:
        async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
            session = QmpSession(stream)
            with trio.fail_after(LIMIT_S):
                await session.negotiate()
                yield session
    finally:
        process.kill()
        process.wait(LIMIT_S)


async def human(session: QmpSession, command: str) -> str:
    with trio.fail_after(LIMIT_S):
        answer = await session.execute("human-monitor-command", {"command-line": command})
    assert isinstance(answer, str)
    return answer


@pytest.mark.parametrize(
    "memory_bytes", [64 * MIB, SPLIT - MIB, SPLIT, 4 * GIB], ids=lambda size: f"{size // MIB} MiB"
)
async def test_guest_ram_lies_in_its_file_as_qemu_maps_it(memory_bytes: int) -> None:
    with hardware(memory_bytes) as guest:
        for region in guest.regions:
            for at in (0x100000, region.range.size - 8):
                mark = (0x1000000000000000 | region.range.start + at).to_bytes(8, "little")
                os.pwrite(guest.ram_fd, mark, region.file_offset + at)
        async with monitor_of(guest) as session:
            for region in guest.regions:
                for at in (0x100000, region.range.size - 8):
                    address = region.range.start + at
                    shown = await human(session, f"xp /1xg {address:#x}")
                    assert shown.split() == [f"{address:016x}:", f"{0x1 << 60 | address:#x}"]


@pytest.mark.parametrize(
    "memory_bytes", [SPLIT - MIB, SPLIT], ids=lambda size: f"{size // MIB} MiB"
)
async def test_low_ram_ends_where_we_say(memory_bytes: int) -> None:
    with hardware(memory_bytes) as guest:
        async with monitor_of(guest) as session:
            flat = await human(session, "info mtree -f")
    ends = [int(end, 16) + 1 for end in re.findall(r"-([0-9a-f]{16}) \(prio 0, ram\): ram ", flat)]
    expected = guest.regions[0].range.end
    assert max(end for end in ends if end <= 4 * GIB) == expected


async def test_machine_is_paused() -> None:
    with hardware() as guest:
        async with monitor_of(guest) as session:
            status = await session.execute("query-status")
    assert isinstance(status, dict)
    assert (status["status"], status["running"]) == ("prelaunch", False)


async def test_machine_has_neither_network_nor_display_nor_roms_but_its_firmware() -> None:
    with hardware() as guest:
        async with monitor_of(guest) as session:
            assert await human(session, "info network") == ""
            assert "VGA" not in await human(session, "info pci")
            assert "genroms/" not in await human(session, "info roms")


async def test_name_cannot_add_options() -> None:
    with hardware() as guest:
        async with monitor_of(guest) as session:
            assert (await human(session, "info name")).strip() == guest.name


def test_a_bios_that_was_handed_over_is_the_machines_and_boots_from_its_disks() -> None:
    disk = Disk(Path("/d.img"), "raw", "hda", read_only=False, boot_index=0)
    with hardware() as guest:
        bios = replace(guest, firmware=BiosRom(GpaRange(Gpa(0x200000), 0x40000)))
        files = Descriptors(ram=3, qmp=4, rom=5, disks=(OpenDisk(disk, 6),))
        words = arguments(bios, files, ())
    assert words[words.index("-bios") + 1] == "/proc/self/fd/5"
    assert "-option-rom" not in words
    assert words[words.index("-machine") + 1].endswith(",graphics=off")
    assert "ide-hd,bus=ide.0,unit=0,drive=disk0,bootindex=0" in words


def test_beside_a_bios_extension_no_disk_is_booted_from() -> None:
    disk = Disk(Path("/d.img"), "raw", "hda", read_only=False, boot_index=0)
    with hardware() as guest:
        files = Descriptors(ram=3, qmp=4, rom=5, disks=(OpenDisk(disk, 6),))
        words = arguments(guest, files, ())
    assert "ide-hd,bus=ide.0,unit=0,drive=disk0" in words
    assert "-bios" not in words


def test_firmware_that_is_entered_otherwise_is_refused() -> None:
    with hardware() as guest:
        entry = replace(guest, firmware=DirectEntry(Gpa(0x100000), Gpa(0x174000)))
        with pytest.raises(MachineError, match="take --platform qemu-pc"):
            arguments(entry, Descriptors(ram=3, qmp=4, rom=None, disks=()), ())
