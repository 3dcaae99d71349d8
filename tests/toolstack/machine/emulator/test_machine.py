"""The emulator's process, from its toolstack's side."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import trio

from handoff.confinement import Mode, spawn
from handoff.descriptor import Insert
from handoff.errors import MachineError
from handoff.guest_ram import regions_for
from tests.toolstack.machine.emulator.assembly import option_rom
from tests.toolstack.machine.emulator.guest import LOW_LIMIT, MEMORY_BYTES, POISON, Guest, guest
from toolstack.machine.emulator.machine import EmulatorMachine
from toolstack.machine.port import EndReason, Hardware, Machine, RunningMachine

SECONDS = 30
POWER_OFF = "mov dx, 0x604\n mov ax, 0x2000\n out dx, ax\n cli\n hlt\n"
SPIN = "jmp $"


@pytest.fixture
def small() -> Iterator[Guest]:
    with guest() as machine:
        yield machine


def hardware(machine: Guest) -> Hardware:
    return Hardware("test", machine.fd, machine.regions, MEMORY_BYTES, machine.e820)


async def read_all(running: RunningMachine) -> bytes:
    return b"".join([chunk async for chunk in running.console])


def test_it_is_a_machine_with_a_window_and_xens_memory_hole() -> None:
    machine: Machine = EmulatorMachine()
    assert (machine.name, machine.insert) == ("emulator", Insert.WINDOW)
    assert machine.low_ram_limit(8 << 30) == 0xF0000000


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.OFF])
async def test_a_guest_prints_and_powers_off(small: Guest, mode: Mode) -> None:
    text = "mov dx, 0x3f8\n mov al, 'H'\n out dx, al\n mov al, 'i'\n out dx, al\n"
    small.insert(option_rom(f"{text} mov ax, 0x0e21\n int 0x10\n {POWER_OFF}"))
    log: list[str] = []
    with trio.fail_after(SECONDS):
        async with EmulatorMachine(sandbox=mode, log=log.append).start(
            hardware(small), None
        ) as running:
            await running.unpause()
            assert await read_all(running) == b"Hi"
            end = await running.wait()
    assert end.reason is EndReason.POWERED_OFF
    assert "bios: !" in log
    assert any(line.startswith("sandbox: seccomp") for line in log)


async def test_it_starts_paused_before_the_first_instruction(small: Guest) -> None:
    small.insert(option_rom(POWER_OFF))
    with trio.fail_after(SECONDS):
        async with EmulatorMachine().start(hardware(small), None):
            assert small.read(0, 0x500) == bytes((POISON,)) * 0x500


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("cli\n hlt", EndReason.HALTED),
        ("hlt", EndReason.UNFIT),
        ("ud2", EndReason.CRASHED),
        ("mov al, 0xfe\n out 0x64, al\n jmp $", EndReason.RESET),
    ],
)
async def test_ends_are_told_as_they_are(small: Guest, code: str, reason: EndReason) -> None:
    small.insert(option_rom(code))
    with trio.fail_after(SECONDS):
        async with EmulatorMachine().start(hardware(small), None) as running:
            await running.unpause()
            assert (await running.wait()).reason is reason


async def test_leaving_ends_a_guest_that_spins(small: Guest) -> None:
    small.insert(option_rom(f"mov dx, 0x3f8\n out dx, al\n {SPIN}"))
    with trio.fail_after(SECONDS):
        async with EmulatorMachine().start(hardware(small), None) as running:
            pid = running.pid
            await running.unpause()
            await running.console.receive_some(1)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_killed_process_is_a_killed_machine(small: Guest) -> None:
    small.insert(option_rom(SPIN))
    with trio.fail_after(SECONDS):
        async with EmulatorMachine().start(hardware(small), None) as running:
            await running.unpause()
            os.kill(running.pid, signal.SIGKILL)
            end = await running.wait()
            assert await read_all(running) == b""
    assert end.reason is EndReason.KILLED
    assert "SIGKILL" in end.detail


async def test_unpausing_a_dead_process_is_a_machine_error(small: Guest) -> None:
    with trio.fail_after(SECONDS):
        async with EmulatorMachine().start(hardware(small), None) as running:
            os.kill(running.pid, signal.SIGKILL)
            await running.wait()
            with pytest.raises(MachineError, match=r"is gone"):
                await running.unpause()


async def test_a_console_nobody_reads_yet_loses_nothing(small: Guest) -> None:
    count = 0x18000
    small.insert(
        option_rom(
            f"mov ecx, {count}\n mov dx, 0x3f8\n.next: mov al, cl\n out dx, al\n a32 loop .next\n"
            f"{POWER_OFF}"
        )
    )
    with trio.fail_after(SECONDS):
        async with EmulatorMachine().start(hardware(small), None) as running:
            await running.unpause()
            received = await read_all(running)
    assert received == bytes(left & 0xFF for left in range(count, 0, -1))


async def test_a_guest_that_floods_the_bios_with_text_does_not_stall(small: Guest) -> None:
    small.insert(
        option_rom(
            "mov ecx, 3000\n.next: mov ax, 0x0e0a\n int 0x10\n mov ax, 0x0e41\n int 0x10\n"
            f"a32 loop .next\n {POWER_OFF}"
        )
    )
    log: list[str] = []
    with trio.fail_after(SECONDS):
        async with EmulatorMachine(log=log.append).start(hardware(small), None) as running:
            await running.unpause()
            assert await read_all(running) == b""
            assert (await running.wait()).reason is EndReason.POWERED_OFF
    assert 10 < log.count("bios: A") <= 1000


async def test_a_memory_file_that_is_too_short_is_a_machine_error(small: Guest) -> None:
    too_much = 2 * MEMORY_BYTES
    wrong = Hardware("test", small.fd, regions_for(too_much, LOW_LIMIT), too_much, small.e820)
    with trio.fail_after(SECONDS):
        with pytest.raises(MachineError, match="cannot run"):
            async with EmulatorMachine().start(wrong, None):
                pass


_TOOLSTACK = """
import sys, trio
from handoff.addresses import Gpa
from handoff.guest_ram import create_ram_file, regions_for
from handoff.platforms import memory_map
from toolstack.machine.emulator.machine import EmulatorMachine
from toolstack.machine.port import Hardware
size, limit = 64 << 20, Gpa(0xf0000000)
hardware = Hardware("t", create_ram_file("t", size), regions_for(size, limit), size,
                    memory_map(size, limit))
async def main():
    async with EmulatorMachine().start(hardware, None) as running:
        print(running.pid, flush=True)
        await trio.sleep_forever()
trio.run(main)
"""


async def test_the_process_does_not_outlive_its_toolstack() -> None:
    toolstack = spawn([sys.executable, "-c", _TOOLSTACK], pass_fds=(), stdout=subprocess.PIPE)
    assert toolstack.stdout is not None
    try:
        with trio.fail_after(SECONDS):
            line = await trio.to_thread.run_sync(toolstack.stdout.readline)
            machine = os.pidfd_open(int(line))
            toolstack.kill()
            await trio.lowlevel.wait_readable(machine)
            os.close(machine)
    finally:
        toolstack.kill()
        toolstack.stdout.close()
        toolstack.wait()


def test_started_by_hand_it_says_who_starts_it() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "toolstack.machine.emulator", "--help"],
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"not by hand" in done.stderr


def test_nothing_heavy_is_imported_into_the_process() -> None:
    code = (
        "import sys, toolstack.machine.emulator.child\n"
        "print(*sorted({'trio', 'click', 'rich', 'msgpack', 'construct'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=SECONDS, check=True
    )
    assert done.stdout.split() == []


async def test_a_guest_that_computes_without_end_is_taken_to_wait_for_an_interrupt(
    small: Guest,
) -> None:
    small.insert(option_rom(SPIN))
    with trio.fail_after(SECONDS):
        async with EmulatorMachine(quiet_cpu_s=0.2).start(hardware(small), None) as running:
            await running.unpause()
            end = await running.wait()
    assert end.reason is EndReason.UNFIT
    assert end.detail == ("no device touched in 0.2 s of computing: waits for a timer interrupt?")


async def test_a_guest_that_has_set_its_timer_and_waits_is_told_that_there_is_none(
    small: Guest,
) -> None:
    set_timer = "mov al, 0x34\n out 0x43, al\n xor al, al\n out 0x40, al\n out 0x40, al\n"
    small.insert(option_rom(set_timer + SPIN))
    with trio.fail_after(SECONDS):
        async with EmulatorMachine(quiet_cpu_s=4).start(hardware(small), None) as running:
            await running.unpause()
            end = await running.wait()
    assert end.reason is EndReason.UNFIT
    assert end.detail == (
        "no device touched in 0.2 s of computing: it has set its timer, and this machine has no "
        "timer interrupt"
    )


async def test_a_guest_that_touches_a_device_now_and_then_goes_on(small: Guest) -> None:
    poll = "l: mov ecx, 1000\n w: loop w\n mov dx, 0x3fd\n in al, dx\n"
    count = "inc dword [0x500]\n cmp dword [0x500], 60000\n jb l\n"
    small.insert(option_rom(f"mov dword [0x500], 0\n {poll} {count} {POWER_OFF}"))
    with trio.fail_after(SECONDS):
        async with EmulatorMachine(quiet_cpu_s=0.3).start(hardware(small), None) as running:
            await running.unpause()
            end = await running.wait()
    assert end.reason is EndReason.POWERED_OFF
