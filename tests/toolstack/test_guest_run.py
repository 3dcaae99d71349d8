"""A guest's run ends by itself, by its limits, or with its device model."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import cast

import pytest
import trio
import trio.testing

from handoff.errors import (
    DeviceModelDied,
    GuestCrashed,
    GuestTimeout,
    HandoffError,
    MachineError,
    MachineUnfit,
)
from tests.toolstack.fakes import POWERED_OFF, FakeProcess, FakeRunning
from toolstack.console import Console
from toolstack.device_model import DeviceModelProcess
from toolstack.guest_run import Patience, failure, run_guest
from toolstack.machine.port import EndReason, MachineEnd

PATIENT = Patience(None, None)


class Run:
    """A running machine, its device model, and a console that goes nowhere."""

    def __init__(self, fd: int) -> None:
        self.machine = FakeRunning([])
        self.process = FakeProcess()
        self.console = Console(fd)

    async def end(self, patience: Patience = PATIENT) -> MachineEnd:
        process = cast(DeviceModelProcess, self.process)
        return await run_guest(self.machine, process, self.console, patience)


@pytest.fixture
def run() -> Iterator[Run]:
    fd = os.open(os.devnull, os.O_WRONLY)
    yield Run(fd)
    os.close(fd)


async def test_a_guest_that_powers_off_ends_its_run(run: Run) -> None:
    await run.machine.serial.send_all(b"bye\n")
    run.machine.end()
    assert await run.end() == POWERED_OFF
    assert run.console.last_line() == "bye"


async def test_what_the_guest_said_last_is_still_read_after_its_end(run: Run) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.end)
        await trio.testing.wait_all_tasks_blocked()
        await run.machine.serial.send_all(b"z" * 100_000 + b"\nlast words\n")
        run.machine.end()
    assert run.console.last_line() == "last words"


async def test_without_limits_a_guest_may_be_silent_for_a_year(
    run: Run, autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run.end)
        await trio.sleep(365 * 86400)
        assert len(nursery.child_tasks) == 1
        run.machine.end()


async def test_a_silent_guest_is_ended_with_a_hint_at_its_command_line(
    run: Run, autojump_clock: trio.testing.MockClock
) -> None:
    with pytest.raises(GuestTimeout) as refused:
        await run.end(Patience(60, None))
    assert trio.current_time() == pytest.approx(60)
    for word in ("nothing", "60 s", "console=ttyS0", "--silence"):
        assert word in str(refused.value)


async def test_after_its_first_byte_a_guest_may_be_silent(
    run: Run, autojump_clock: trio.testing.MockClock
) -> None:
    await run.machine.serial.send_all(b".")
    with pytest.raises(GuestTimeout, match="has not ended after 9000 s"):
        await run.end(Patience(60, 9000))


async def test_a_guest_that_does_not_end_is_ended_and_its_last_line_shown(
    run: Run, autojump_clock: trio.testing.MockClock
) -> None:
    await run.machine.serial.send_all(b"login: \x1b[0m\r\n")
    with pytest.raises(GuestTimeout) as refused:
        await run.end(Patience(None, 120))
    assert "after 120 s, it last printed 'login: ?[0m'" in str(refused.value)
    assert "--timeout" in str(refused.value)


async def test_a_device_model_that_ends_first_ends_the_run(run: Run) -> None:
    run.process.end("killed by SIGKILL")
    with pytest.raises(DeviceModelDied, match=r"ended \(killed by SIGKILL\) while its guest ran"):
        await run.end()


async def test_a_console_that_never_ends_does_not_keep_a_machine_that_ended(
    run: Run, autojump_clock: trio.testing.MockClock
) -> None:
    # As when a child of the machine holds its serial port open.
    run.machine.serial.close = lambda: None  # type: ignore[method-assign]
    run.machine.end()
    assert await run.end() == POWERED_OFF


async def test_cancelling_ends_all_of_it(run: Run) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run.end, Patience(60, 60))
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert scope.cancelled_caught


ERRORS: dict[EndReason, type[HandoffError] | None] = {
    EndReason.POWERED_OFF: None,
    EndReason.LEFT: None,
    EndReason.HALTED: GuestCrashed,
    EndReason.RESET: GuestCrashed,
    EndReason.CRASHED: GuestCrashed,
    EndReason.KILLED: MachineError,
    EndReason.UNFIT: MachineUnfit,
    EndReason.ABANDONED: DeviceModelDied,
}


@pytest.mark.parametrize("reason", list(EndReason))
def test_each_end_is_a_success_or_an_error_of_its_own(reason: EndReason) -> None:
    error = failure(MachineEnd(reason, "at cs:ip 0x1000:0x20"))
    expected = ERRORS[reason]
    if expected is None:
        assert error is None
    else:
        assert type(error) is expected
        assert reason.value in str(error)
        assert "at cs:ip 0x1000:0x20" in str(error)


def test_an_end_without_detail_makes_no_dangling_colon() -> None:
    assert str(failure(MachineEnd(EndReason.CRASHED, ""))) == "the guest's machine crashed"
    assert str(failure(MachineEnd(EndReason.UNFIT, ""))).endswith("--machine qemu")
