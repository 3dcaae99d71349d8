"""A PC with real firmware: QEMU and SeaBIOS over guest RAM that the test can read and write."""

from __future__ import annotations

import mmap
import os
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RAM_BYTES = 64 << 20
POISON = b"\xcc"
"""int3: zero-filled RAM would execute as harmless additions and hide a wrong entry point"""
DEADLINE_S = 60.0
FINISHED = 0x2A << 1 | 1
"""exit status when the payload reached its end; a triple fault or power-off would be 0"""


@dataclass(frozen=True)
class Ended:
    """A machine whose payload ended it, or that was stopped at the text it was watched for."""

    ram: bytes
    serial: str
    status: int


def assemble(source: Path, output: Path, **defines: int) -> bytes:
    """What nasm makes of `source`."""
    options = [f"-D{name}={value:#x}" for name, value in defines.items()]
    include = f"-I{source.parent}/"
    command: list[str | Path] = ["nasm", "-Wall", "-Werror", "-f", "bin", include, *options]
    command += ["-o", output, source]
    subprocess.run(command, check=True)
    return output.read_bytes()


def run(
    staged: Mapping[int, bytes],
    option_roms: Sequence[Path],
    *,
    machine: str = "pc",
    options: Sequence[str] = (),
    stop_at: str | None = None,
) -> Ended:
    """Boots poisoned RAM with `staged` bytes in it. option_roms: `file` or `file,bootindex=0`.

    stop_at: text on the serial port that ends the run, for guests that never end.
    """
    fd = os.memfd_create("guest-ram")
    try:
        os.ftruncate(fd, RAM_BYTES)
        with mmap.mmap(fd, RAM_BYTES) as ram:
            ram[:] = POISON * RAM_BYTES
            for gpa, data in staged.items():
                ram[gpa : gpa + len(data)] = data
            serial, status = _run_qemu(fd, option_roms, machine, options, stop_at)
            return Ended(bytes(ram), serial, status)
    finally:
        os.close(fd)


def _run_qemu(
    fd: int,
    option_roms: Sequence[Path],
    machine: str,
    options: Sequence[str],
    stop_at: str | None,
) -> tuple[str, int]:
    command = ["qemu-system-x86_64", "-accel", "tcg", "-machine", f"{machine},memory-backend=ram"]
    command += ["-object", f"memory-backend-file,id=ram,mem-path=/proc/self/fd/{fd}"]
    command[-1] += f",share=on,size={RAM_BYTES}"
    command += ["-m", str(RAM_BYTES >> 20), "-nodefaults", "-display", "none", "-vga", "none"]
    command += ["-serial", "stdio", "-no-reboot"]
    command += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
    for index, rom in enumerate(option_roms):
        command += ["-option-rom", f"romfile={rom},bootindex={index}"]
    command += options
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, pass_fds=(fd,)
    )
    deadline = threading.Timer(DEADLINE_S, process.kill)
    deadline.start()
    serial = ""
    try:
        assert process.stdout is not None
        for line in process.stdout:
            serial += line.decode("ascii", "replace")
            if stop_at is not None and stop_at in serial:
                process.kill()
        return serial, process.wait()
    finally:
        deadline.cancel()
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
