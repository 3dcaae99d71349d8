"""Payloads booted through the BIOS extension: building them, and reading what they left."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from devicemodel.bios_extension.block import (
    DEFAULT_BLOCK_GPA,
    Copy,
    CountForm,
    E820Collection,
    E820Format,
    ParameterBlock,
    ProtectedModeEntry,
    RealModeEntry,
    Step,
)
from devicemodel.bios_extension.block_codec import encode
from devicemodel.bios_extension.rom import rom_image
from handoff.addresses import Gpa, GpaRange
from tests.devicemodel.bios_extension.seabios import (
    FINISHED,
    POISON,
    Ended,
    assemble,
    run,
)

PAYLOADS = Path(__file__).with_name("payloads")
STAGING = 0x400000
RESULT = 0x380000
REAL = RealModeEntry(cs=0x1020, ip=0x0000, ss=0x1000, sp=0xDFF0, ds=0x1000)
MAP = E820Collection(
    format=E820Format.BARE,
    records=Gpa(0x390000),
    max_records=128,
    count=Gpa(0x38FFFF),
    count_form=CountForm.U8_RECORDS,
    mem_lower=Gpa(0x38FFF0),
    mem_upper=Gpa(0x38FFF4),
)


@dataclass(frozen=True)
class Bench:
    """Assembles payloads and boots them through the BIOS extension."""

    folder: Path

    def payload(self, name: str, **defines: int) -> bytes:
        return assemble(PAYLOADS / f"{name}.asm", self.folder / f"{name}.payload", **defines)

    def other_rom(self, name: str, prefix: str = "a") -> Path:
        image = bytearray(self.payload(name))
        image[-1] = -sum(image) % 256
        path = self.folder / f"{prefix}-{name}.rom"
        path.write_bytes(image)
        return path

    def our_rom(self, block_gpa: Gpa = DEFAULT_BLOCK_GPA) -> Path:
        path = self.folder / "direct-boot.rom"
        path.write_bytes(rom_image(block_gpa))
        return path

    def boot(
        self, block: ParameterBlock, staged: dict[int, bytes], *options: str, machine: str = "pc"
    ) -> Ended:
        """Runs until the payload ends the machine."""
        everything = {int(DEFAULT_BLOCK_GPA): encode(block)} | staged
        ended = run(everything, [self.our_rom()], machine=machine, options=options)
        assert ended.status == FINISHED, ended.serial
        return ended

    def refused(
        self, block: bytes, *options: str, roms: tuple[Path, ...] = (), block_gpa: int = 0
    ) -> str:
        """The line with which the ROM refuses, having started nothing."""
        place = Gpa(block_gpa) if block_gpa else DEFAULT_BLOCK_GPA
        ended = run(
            {int(place): block},
            [self.our_rom(place), *roms],
            options=options,
            stop_at="Halted.\r\n",
        )
        assert ended.ram[RESULT : RESULT + 0x100] == POISON * 0x100
        return ended.serial


def at(start: int, size: int) -> GpaRange:
    return GpaRange(Gpa(start), size)


def real_mode_block(
    bench: Bench, *steps: Step, e820: E820Collection | None = None
) -> tuple[ParameterBlock, dict[int, bytes]]:
    """A block that copies the real-mode payload to 0x10200 and enters it."""
    payload = bench.payload("real", ENTRY_IP=REAL.ip)
    copy = Copy(at(STAGING, len(payload)), Gpa(0x10200))
    return ParameterBlock(REAL, (*steps, copy), e820), {STAGING: payload}


def protected_block(
    bench: Bench, *steps: Step, e820: E820Collection | None = None, rsdp: Gpa | None = None
) -> tuple[ParameterBlock, bytes]:
    """A block that copies the 32-bit payload from STAGING to 0x100000 and enters it."""
    payload = bench.payload("protected", ENTRY=0x100000, RESULT=RESULT)
    copy = Copy(at(STAGING, len(payload)), Gpa(0x100000))
    entry = ProtectedModeEntry(Gpa(0x100000), eax=0x2BADB002, ebx=0x11223344, esi=0x55667788)
    return ParameterBlock(entry, (copy, *steps), e820, rsdp), payload


def dwords(ram: bytes, start: int, count: int) -> tuple[int, ...]:
    return struct.unpack_from(f"<{count}I", ram, start)


def records(ram: bytes, start: int, count: int) -> list[tuple[int, int, int]]:
    return [struct.unpack_from("<QQI", ram, start + 20 * index) for index in range(count)]


def firmware_map(ram: bytes) -> list[tuple[int, int, int]]:
    """What the real-mode payload itself got from int 15h E820."""
    return records(ram, 0x10300, dwords(ram, 0x10250, 1)[0] & 0xFFFF)
