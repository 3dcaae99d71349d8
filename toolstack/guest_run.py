"""The guest runs: its console is passed on, its end is awaited, its silence has a bound."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from handoff.errors import (
    DeviceModelDied,
    GuestCrashed,
    GuestTimeout,
    HandoffError,
    MachineError,
    MachineUnfit,
)
from toolstack.console import Console
from toolstack.host import RunningDeviceModel
from toolstack.machine.port import EndReason, MachineEnd, RunningMachine

_DRAIN_S = 2.0
"""After the machine's end its last words may still be in the pipe: so long without a byte
read there, and they are given up."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a guest may take, seconds; None: for ever."""

    first_word_s: float | None
    whole_run_s: float | None


async def run_guest(
    machine: RunningMachine, process: RunningDeviceModel, console: Console, patience: Patience
) -> MachineEnd:
    """How the guest's machine ended.

    Raises: GuestTimeout when it is silent or runs for too long, DeviceModelDied when its
    device model ends first.
    """
    ends: list[MachineEnd] = []
    problems: list[HandoffError] = []
    async with trio.open_nursery() as nursery:
        drained = trio.Event()

        async def relay() -> None:
            await console.relay(machine.console)
            drained.set()

        async def await_end() -> None:
            ends.append(await machine.wait())
            # A slow reader may take its time, as long as it takes anything.
            before = -1
            while not drained.is_set() and console.passed_on != before:
                before = console.passed_on
                with trio.move_on_after(_DRAIN_S):
                    await drained.wait()
            nursery.cancel_scope.cancel()

        async def await_device_model() -> None:
            how = await process.wait()
            problems.append(DeviceModelDied(f"the device model ended ({how}) while its guest ran"))
            nursery.cancel_scope.cancel()

        async def limit_silence(seconds: float) -> None:
            with trio.move_on_after(seconds):
                await console.spoke.wait()
                return
            problems.append(
                GuestTimeout(
                    f"the guest printed nothing on its serial console in {seconds:g} s: "
                    "does its command line name it (console=ttyS0)? allow more with --silence"
                )
            )
            nursery.cancel_scope.cancel()

        async def limit_run(seconds: float) -> None:
            await trio.sleep(seconds)
            problems.append(
                GuestTimeout(
                    f"the guest has not ended after {seconds:g} s, it last printed "
                    f"{console.last_line()!r}: allow more with --timeout"
                )
            )
            nursery.cancel_scope.cancel()

        nursery.start_soon(relay)
        nursery.start_soon(await_end)
        nursery.start_soon(await_device_model)
        if patience.first_word_s is not None:
            nursery.start_soon(limit_silence, patience.first_word_s)
        if patience.whole_run_s is not None:
            nursery.start_soon(limit_run, patience.whole_run_s)
    if ends:
        return ends[0]
    raise problems[0]


def failure(end: MachineEnd) -> HandoffError | None:
    """What is wrong with this end; None for a guest that powered off or was never run."""
    text = f"the guest's machine {end.reason.value}: {end.detail}".rstrip(": ")
    match end.reason:
        case EndReason.POWERED_OFF | EndReason.LEFT:
            return None
        case EndReason.UNFIT:
            return MachineUnfit(f"{text}: take --machine qemu")
        case EndReason.KILLED:
            return MachineError(text)
        case EndReason.ABANDONED:
            return DeviceModelDied(text)
        case EndReason.HALTED | EndReason.RESET | EndReason.CRASHED:
            return GuestCrashed(text)
