"""Real QEMU's fw_cfg, driven from outside: its qtest protocol reads and writes ports and RAM."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

END_S = 10


class QemuDevice:
    """Ports and RAM of a QEMU whose vCPU does not run."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def _ask(self, command: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().split()
        assert answer[:1] == ["OK"], (command, answer)
        return answer[-1]

    def read(self, port: int, size: int) -> int:
        return int(self._ask(f"in{'bwl'[size // 2]} {port:#x}"), 16)

    def write(self, port: int, size: int, value: int) -> None:
        self._ask(f"out{'bwl'[size // 2]} {port:#x} {value:#x}")

    def read_ram(self, at: int, size: int) -> bytes:
        return bytes.fromhex(self._ask(f"read {at:#x} {size:#x}")[2:])

    def write_ram(self, at: int, data: bytes) -> None:
        self._ask(f"write {at:#x} {len(data):#x} 0x{data.hex()}")


@contextmanager
def qemu_device(memory_mib: int) -> Iterator[QemuDevice]:
    """A QEMU while the context lasts."""
    process = subprocess.Popen(
        [
            *("qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-S", "-m", str(memory_mib)),
            *("-nodefaults", "-display", "none", "-qtest", "stdio"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with process:
        try:
            yield QemuDevice(process)
        finally:
            process.kill()
            process.wait(END_S)
