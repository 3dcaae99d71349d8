"""What hvmloader and SeaBIOS, both as Debian ships them, do to the RAM of a guest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from devicemodel.bios_extension.rom import rom_image
from handoff.addresses import MIB, PAGE, Gpa, GpaRange
from handoff.foreign_memory import ForeignMemory
from handoff.foreign_ram import ForeignRam
from tests.xen.dom0.commands import run
from tests.xen.dom0.domains import domid_of
from tests.xen.dom0.serial_log import SerialLog
from xenstore_sim.wire.names import DomId

NAME: Final = "poisoned"
ROM: Final = Path("/run/direct-boot.rom")
SERIAL: Final = Path(f"/run/{NAME}.serial")
CONFIG: Final = f"""\
type = "hvm"
name = "{NAME}"
memory = %d
vga = "none"
vnc = 0
serial = "file:{SERIAL}"
boot = "n"
device_model_args_hvm = ["-global", "xen-platform.romfile={ROM}"]
on_poweroff = "preserve"
"""
"""Preserved, as Xen takes the halt of the only vCPU for a power-off."""
ROM_SAYS: Final = "direct boot: "
ROM_TIMEOUT_S: Final = 120.0

POISON: Final = 0xCC
"""int3: what firmware did not write is no zero."""
BELOW_HVM_INFO: Final = GpaRange.between(0, 0x9F000)
HVM_INFO: Final = Gpa(0x9F800)
LOW_MEM_PGEND_AT: Final = 20
"""Source: xen/include/public/hvm/hvm_info_table.h."""
ABOVE_LIBXC: Final = Gpa(0x180000)
"""Below are hvmloader with its BSS, the BIOS and hvm_start_info: not to be poisoned."""
STEP: Final = 4 * MIB


def poisoned_until_the_bev(memory_mib: int) -> dict[str, object]:
    """A guest whose RAM was poisoned before its first instruction, as the BIOS extension finds it.

    There is no parameter block: the extension says so on COM1, and halts.
    """
    serial = SerialLog(SERIAL)
    with paused(memory_mib) as domid, closing(ForeignMemory()) as memory:
        first_mib = ForeignRam(memory, domid, (GpaRange.between(0, MIB),))
        info = first_mib.read(GpaRange(HVM_INFO, LOW_MEM_PGEND_AT + 4))
        end = int.from_bytes(info[LOW_MEM_PGEND_AT:], "little") * PAGE
        poisoned = (BELOW_HVM_INFO, GpaRange.between(ABOVE_LIBXC, end))
        ram = ForeignRam(memory, domid, poisoned)
        for where in poisoned:
            ram.fill(where, POISON)
        run("xl", "unpause", str(domid))
        said = serial.wait_for(ROM_SAYS, ROM_TIMEOUT_S)
        changed = [page for where in poisoned for page in _changed(ram, where)]
    return {"low_ram_end": end, "said": said.text, "changed": changed}


@contextmanager
def paused(memory_mib: int) -> Iterator[DomId]:
    """A domain with the BIOS extension that has not begun to run, while the context lasts."""
    ROM.write_bytes(rom_image())
    config = Path(f"/run/{NAME}.cfg")
    config.write_text(CONFIG % memory_mib)
    run("xl", "create", "-p", str(config))
    domid = domid_of(NAME)
    try:
        yield DomId(domid)
    finally:
        run("xl", "destroy", str(domid))


def _changed(ram: ForeignRam, where: GpaRange) -> Iterator[int]:
    """The addresses of pages that hold anything else than poison."""
    for start in range(where.start, where.end, STEP):
        found = ram.read(GpaRange.between(start, min(start + STEP, where.end)))
        if found.count(POISON) == len(found):
            continue
        for at in range(0, len(found), PAGE):
            if found.count(POISON, at, at + PAGE) != PAGE:
                yield start + at
