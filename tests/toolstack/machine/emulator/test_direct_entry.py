"""Firmware that is entered in 32 bits finds the registers of a vCPU that Xen has made."""

from __future__ import annotations

import pytest

from handoff.addresses import Gpa
from handoff.firmware import DirectEntry
from tests.toolstack.machine.emulator.guest import guest
from toolstack.machine.emulator.emulator import Emulator
from toolstack.machine.emulator.stop import StopReason


@pytest.mark.parametrize(("eip", "ebx"), [(0x100000, 0x174000), (0x2FFFFF0, 0xFFFFFFFF)])
def test_it_starts_flat_with_ebx_and_nothing_else(eip: int, ebx: int) -> None:
    with guest() as machine:
        entry = DirectEntry(Gpa(eip), Gpa(ebx))
        with Emulator(
            machine.fd,
            machine.regions,
            machine.e820,
            console=machine.console.extend,
            log=machine.log.append,
            firmware=entry,
        ) as emulator:
            stop = emulator.run(until=entry.eip)
        seen = stop.registers
        assert (stop.reason, seen.eip, seen.ebx) == (StopReason.BREAKPOINT, eip, ebx)
        assert (seen.eax, seen.ecx, seen.edx) == (0, 0, 0)
        assert (seen.esi, seen.edi, seen.ebp, seen.esp) == (0, 0, 0, 0)
        # Protection on, paging off; VM, IF and TF clear.
        assert (seen.cr0 & 0x80000001, seen.cr4, seen.eflags & 0x20300) == (1, 0, 0)
        assert len({seen.ds, seen.es, seen.fs, seen.gs, seen.ss}) == 1
        assert seen.cs != seen.ds


def test_no_byte_but_the_bioss_place_is_touched() -> None:
    with guest() as machine:
        before = machine.read(0, 0xF0000)
        firmware = DirectEntry(Gpa(0x100000), Gpa(0))
        with Emulator(
            machine.fd,
            machine.regions,
            machine.e820,
            console=machine.console.extend,
            log=machine.log.append,
            firmware=firmware,
        ) as emulator:
            emulator.run(until=firmware.eip)
        assert machine.read(0, 0xF0000) == before
        assert machine.read(0x100000, 0x1000) == b"\xcc" * 0x1000
