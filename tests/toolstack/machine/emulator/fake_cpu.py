"""A Cpu that does not run: registers with their parts, 2 MiB of memory, read-only ranges."""

from __future__ import annotations

from toolstack.machine.emulator.cpu import Raised, Register, TableRegister

MEMORY_BYTES = 2 << 20
_WIDE = {"AX": "EAX", "BX": "EBX", "CX": "ECX", "DX": "EDX"}


def _place(register: Register) -> tuple[str, int, int]:
    """The name of the whole register, the bits to its right, and its width."""
    name = register.value
    if name.startswith("R") and len(name) == 3:
        return "E" + name[1:], 0, 64
    if name == "RFLAGS":
        return "EFLAGS", 0, 64
    if len(name) == 2 and name[1] in "HL":
        return f"E{name[0]}X", 8 if name[1] == "H" else 0, 8
    if name in ("AX", "BX", "CX", "DX", "SI", "DI", "BP", "SP"):
        return "E" + name, 0, 16
    return name, 0, 16 if name.endswith("S") and len(name) == 2 else 32


class FakeCpu:
    """Implements InterruptibleCpu."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}
        self.memory = bytearray(MEMORY_BYTES)
        self.protected: list[tuple[int, int]] = []
        self.interrupt_table = TableRegister(0, 0x3FF)
        self.task = TableRegister(0, 0)
        self.efer_value = 0
        self.delivered = 0

    def get(self, register: Register) -> int:
        name, shift, bits = _place(register)
        return self.values.get(name, 0) >> shift & (1 << bits) - 1

    def set(self, register: Register, value: int) -> None:
        name, shift, bits = _place(register)
        mask = (1 << bits) - 1 << shift
        self.values[name] = self.values.get(name, 0) & ~mask | value << shift & mask

    def read(self, at: int, size: int) -> bytes:
        return bytes(self.memory[at : at + size]).ljust(size, b"\xff")

    def write(self, at: int, data: bytes) -> None:
        if not self.is_protected(at, len(data)):
            self.memory[at : at + len(data)] = data

    def protect(self, start: int, size: int) -> None:
        self.protected.append((start, size))

    def is_protected(self, start: int, size: int) -> bool:
        return any(start < at + length and at < start + size for at, length in self.protected)

    def idtr(self) -> TableRegister:
        return self.interrupt_table

    def task_register(self) -> TableRegister:
        return self.task

    def efer(self) -> int:
        return self.efer_value

    def forget_exception(self) -> None:
        self.delivered += 1


def fault(vector: int, error_code: int = 0) -> Raised:
    return Raised(vector, software=False, error_code=error_code)


def software_interrupt(vector: int) -> Raised:
    return Raised(vector, software=True, error_code=0)
