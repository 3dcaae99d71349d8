"""The `qemu` machine: starts a paused QEMU over shared guest RAM."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass

import trio

from handoff.addresses import Gpa
from handoff.confinement import spawn
from handoff.descriptor import Insert
from handoff.errors import MachineError
from handoff.platforms import Platform, low_ram_limit
from toolstack.machine.port import Disk, Hardware
from toolstack.machine.qemu import last_words, rom_file
from toolstack.machine.qemu.accelerator import Accelerator, kvm_group, kvm_is_usable
from toolstack.machine.qemu.arguments import Descriptors, arguments
from toolstack.machine.qemu.disks import OpenDisk
from toolstack.machine.qemu.launch import command, find_programs
from toolstack.machine.qemu.running import RunningQemu

_KILL_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class QemuMachine:
    """qemu-system-x86_64 with SeaBIOS; implements the Machine port."""

    accelerator: Accelerator = Accelerator.AUTO
    program: str = "qemu-system-x86_64"
    """name looked up in PATH, or a path"""
    start_timeout_s: float = 30.0

    @property
    def name(self) -> str:
        return "qemu"

    @property
    def insert(self) -> Insert:
        return Insert.GENROMS

    def low_ram_limit(self, memory_bytes: int) -> Gpa:
        return low_ram_limit(Platform.QEMU_PC, memory_bytes)

    def start(
        self, hardware: Hardware, rom: bytes | None
    ) -> AbstractAsyncContextManager[RunningQemu]:
        """A paused QEMU. Enter it in the main thread: QEMU dies with the thread that
        started it.

        Raises: MachineError.
        """
        return self._start(hardware, rom)

    @asynccontextmanager
    async def _start(self, hardware: Hardware, rom: bytes | None) -> AsyncIterator[RunningQemu]:
        running = self._spawn(hardware, rom)
        try:
            await running.handshake(self.start_timeout_s)
            yield running
        finally:
            await running.destroy(flush_disks=any(not disk.read_only for disk in hardware.disks))

    def _spawn(self, hardware: Hardware, rom: bytes | None) -> RunningQemu:
        try:
            # What QEMU inherits is closed here in any case: a copy of ours would hide its end.
            with ExitStack() as inherited, ExitStack() as ours:
                qmp, qmp_inherited = socket.socketpair()
                ours.enter_context(qmp)
                inherited.enter_context(qmp_inherited)
                console, console_inherited = os.pipe()
                ours.callback(os.close, console)
                inherited.callback(os.close, console_inherited)
                stderr = last_words.create()
                ours.callback(os.close, stderr)
                descriptors = Descriptors(
                    ram=hardware.ram_fd,
                    qmp=qmp_inherited.fileno(),
                    rom=None if rom is None else _rom(rom, inherited),
                    disks=tuple(_open(disk, inherited) for disk in hardware.disks),
                )
                process = spawn(
                    self._command(hardware, descriptors),
                    pass_fds=descriptors.all(),
                    stdout=console_inherited,
                    stderr=stderr,
                )
                ours.callback(_end, process)
                running = RunningQemu(
                    process,
                    trio.lowlevel.FdStream(console),
                    trio.SocketStream(trio.socket.from_stdlib_socket(qmp)),
                    stderr,
                )
                ours.pop_all()
        except OSError as error:
            raise MachineError(f"QEMU cannot be started: {error}") from error
        return running

    def _command(self, hardware: Hardware, descriptors: Descriptors) -> tuple[str, ...]:
        as_root = os.geteuid() == 0
        group = kvm_group()
        # Without root's rights, a device that only root may open is of no use.
        kvm = kvm_is_usable() and (group is not None or not as_root)
        return command(
            find_programs(self.program),
            arguments(hardware, descriptors, self.accelerator.arguments(kvm)),
            parent_pid=os.getpid(),
            as_root=as_root,
            kvm_group=group,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(_KILL_TIMEOUT_S)


def _rom(rom: bytes, opened: ExitStack) -> int:
    fd = rom_file.create(rom)
    opened.callback(os.close, fd)
    return fd


def _open(disk: Disk, opened: ExitStack) -> OpenDisk:
    read_only = disk.read_only or disk.cdrom
    try:
        fd = os.open(disk.path, (os.O_RDONLY if read_only else os.O_RDWR) | os.O_CLOEXEC)
    except OSError as error:
        raise MachineError(
            f"disk {disk.device}: {disk.path} cannot be opened: {error.strerror}"
        ) from error
    opened.callback(os.close, fd)
    return OpenDisk(disk, fd)
