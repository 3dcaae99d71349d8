"""Guests started by the option ROMs of QEMU: our device model, a real channel, the emulator."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path

import trio
from blake3 import blake3

from devicemodel.discover import HostFiles
from devicemodel.fw_cfg.option_roms import OptionRoms, RomMethod, read_option_rom
from devicemodel.ioreq_service import serve_ioreqs
from devicemodel.stage_work import StageWork
from handoff.addresses import PAGE, Gpa, GpaRange, align_down
from handoff.descriptor import BootMethod, Descriptor, Insert, Role, StagedImage
from handoff.descriptor_codec import encode_descriptor
from handoff.platforms import ROM_WINDOW, Platform, reservations, staging_window
from handoff.report import Report
from handoff.stages import ORDER, Stage
from tests.toolstack.machine.emulator.guest import Guest
from toolstack.machine.emulator.ioreq_client import FW_CFG_PORTS, IoreqClient
from toolstack.machine.emulator.stop import Stop

ROMS = Path("/usr/share/qemu")
"""Debian's qemu-system-data."""
LINUX_ROMS = ("linuxboot.bin", "linuxboot_dma.bin")
MULTIBOOT_ROMS = ("multiboot.bin", "multiboot_dma.bin")
GENERATION = 3
RUN_LIMIT_S = 60


def roms(name: str) -> OptionRoms:
    """The ROM of that file for every method, as --rom-file gives it."""
    content = read_option_rom(ROMS / name)
    return OptionRoms(tuple((method, content) for method in RomMethod))


@dataclass(frozen=True, slots=True)
class Files:
    """What the operator named."""

    kernel: bytes
    ramdisk: bytes | None = None
    cmdline: bytes = b"console=ttyS0"
    kernel_name: bytes = b""
    modules: tuple[tuple[bytes, bytes, bytes], ...] = ()
    """content, name and arguments of each behind the ramdisk"""
    ramdisk_name: bytes = b""
    ramdisk_arguments: bytes = b""
    boot: BootMethod = BootMethod.AUTO


@dataclass(frozen=True, slots=True)
class Ran:
    """A guest that has stopped."""

    stop: Stop
    guest: Guest
    report: Report

    @property
    def console(self) -> str:
        return self.guest.console.decode()

    def u32(self, at: int) -> int:
        return int.from_bytes(self.guest.read(at, 4), "little")


def offer(guest: Guest, files: Files, kernel_at: int = 0, ramdisk_at: int = 0) -> bytes:
    """The frame for images that lie in guest RAM now; as a toolstack stages them unless told."""
    named = [
        (Role.KERNEL, files.kernel, files.kernel_name, b"", kernel_at),
        *(
            [(Role.RAMDISK, files.ramdisk, files.ramdisk_name, files.ramdisk_arguments, ramdisk_at)]
            if files.ramdisk is not None
            else []
        ),
        *((Role.MODULE, *module, 0) for module in files.modules),
    ]
    top, images = staging_window(guest.e820).end, []
    for role, content, name, arguments, at in reversed(named):
        top = align_down(top - len(content), PAGE)
        where = GpaRange(Gpa(at or top), len(content))
        guest.ram.write(where.start, content)
        digest = blake3(content).digest()
        images.insert(0, StagedImage(role, where, digest, name, arguments))
    return encode_descriptor(_descriptor(guest, files, tuple(images)), GENERATION)


def native_offer(guest: Guest, files: Files) -> bytes:
    """The frame for images that the device model has as host files."""
    return encode_descriptor(_descriptor(guest, files, ()), GENERATION)


def _descriptor(guest: Guest, files: Files, images: tuple[StagedImage, ...]) -> Descriptor:
    return Descriptor(
        platform=Platform.XEN_HVM,
        e820=guest.e820,
        reserved=reservations(Platform.XEN_HVM, guest.e820),
        insert=Insert.WINDOW,
        rom_window=ROM_WINDOW,
        boot=files.boot,
        cmdline=files.cmdline,
        images=images,
    )


async def boot(
    guest: Guest,
    frame: bytes,
    rom: str,
    *,
    native: HostFiles | None = None,
    until: int | None = None,
) -> Ran:
    """Does all stages for the offer in `frame`, then runs the guest to its end or to `until`."""
    work = StageWork(guest.ram, native, roms(rom))
    work.discover(frame, GENERATION)
    for stage in ORDER[1:-1]:
        work.run(stage)
    report = work.report()
    work.run(Stage.READY)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours, theirs, guest.start() as machine:
        machine.ports.claim_strings(FW_CFG_PORTS, IoreqClient(theirs))
        at = None if until is None else Gpa(until)
        with trio.fail_after(RUN_LIMIT_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve_ioreqs, ours, work.devices())
                stop = await trio.to_thread.run_sync(machine.run, at)
                nursery.cancel_scope.cancel()
    return Ran(stop, guest, report)
