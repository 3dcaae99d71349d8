from __future__ import annotations

import trio

from handoff.descriptor import Insert
from tests.toolstack.machine.qemu.hardware import hardware
from toolstack.machine.none import NoMachine
from toolstack.machine.port import EndReason, Machine

LIMIT_S = 10.0


async def test_guest_is_left_to_the_person() -> None:
    machine: Machine = NoMachine(hold_s=0.01)
    assert (machine.name, machine.insert) == ("none", Insert.WINDOW)
    with hardware() as guest, trio.fail_after(LIMIT_S):
        async with machine.start(guest, None) as running:
            await running.unpause()
            assert await running.console.receive_some() == b""
            end = await running.wait()
        assert end.reason is EndReason.LEFT
        assert f"guest RAM was /proc/{running.pid}/fd/{guest.ram_fd}" in end.detail
