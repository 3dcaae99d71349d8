"""The qemu machine against the real QEMU and the real SeaBIOS."""

from __future__ import annotations

import dataclasses
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio

from handoff.addresses import MIB
from handoff.descriptor import Insert
from handoff.errors import MachineError
from handoff.guest_ram import RamRegion, create_ram_file
from tests.toolstack.machine.qemu import roms
from tests.toolstack.machine.qemu.hardware import hardware
from tests.toolstack.machine.qemu.roms import rom
from toolstack.machine.port import Disk, EndReason, Machine, MachineEnd
from toolstack.machine.qemu import Accelerator, QemuMachine, RunningQemu

LIMIT_S = 60.0
TCG = QemuMachine(Accelerator.TCG)


async def read_all(console: trio.abc.ReceiveStream) -> bytes:
    received = b""
    while chunk := await console.receive_some():
        received += chunk
    return received


async def run_to_the_end(running: RunningQemu) -> tuple[bytes, MachineEnd]:
    """Unpauses; console and end."""
    with trio.fail_after(LIMIT_S):
        await running.unpause()
        console = await read_all(running.console)
        return console, await running.wait()


def is_reaped(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def status_of(pid: int) -> str:
    return Path(f"/proc/{pid}/status").read_text()


def environment_of(pid: int) -> set[str]:
    """Names of its variables."""
    entries = Path(f"/proc/{pid}/environ").read_text().split("\0")
    return {entry.partition("=")[0] for entry in entries if entry}


def open_files_of(pid: int) -> set[str]:
    return {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}


def test_it_is_a_machine_that_takes_the_bios_extension_as_a_file() -> None:
    machine: Machine = QemuMachine()
    assert (machine.name, machine.insert) == ("qemu", Insert.GENROMS)


async def test_guest_speaks_on_the_console_and_powers_off() -> None:
    with hardware() as guest:
        async with TCG.start(guest, rom(roms.POWER_OFF, says=b"hello from BEV\n")) as running:
            console, end = await run_to_the_end(running)
    assert console == b"hello from BEV\n"
    assert end.reason is EndReason.POWERED_OFF


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (roms.REBOOT, EndReason.RESET),
        (roms.TRIPLE_FAULT, EndReason.RESET),
        (roms.GIVE_UP, EndReason.RESET),
        (roms.PANIC, EndReason.CRASHED),
    ],
    ids=["reboot", "triple fault", "BEV that returns", "panic"],
)
async def test_each_way_a_guest_ends_has_its_reason(program: bytes, reason: EndReason) -> None:
    with hardware() as guest:
        async with TCG.start(guest, rom(program, says=b"!")) as running:
            console, end = await run_to_the_end(running)
    assert (console, end.reason) == (b"!", reason)
    assert end.detail.startswith("the guest")


async def test_guest_does_nothing_before_unpause() -> None:
    with hardware() as guest:
        async with TCG.start(guest, rom(roms.POWER_OFF)):
            # Reset alone would have put the BIOS there; its first instructions write RAM.
            assert os.pread(guest.ram_fd, 0x500, 0) == bytes(0x500)


async def test_guest_ram_is_the_file() -> None:
    marker = b"written before the start"
    # cs-relative text is replaced by RAM at 0x8000:0x1000, printed by the guest.
    program = bytes.fromhex("b800908ed8be0010b91800baf803aceee2fc")
    with hardware() as guest:
        os.pwrite(guest.ram_fd, marker, 0x91000)
        async with TCG.start(guest, rom(program + roms.POWER_OFF)) as running:
            console, _ = await run_to_the_end(running)
    assert console == marker


async def test_machine_killed_from_outside_says_so() -> None:
    with hardware() as guest:
        async with TCG.start(guest, rom(roms.SPIN)) as running:
            await running.unpause()
            os.kill(running.pid, signal.SIGKILL)
            with trio.fail_after(LIMIT_S):
                end = await running.wait()
    assert end == MachineEnd(EndReason.KILLED, "QEMU was killed by SIGKILL")


async def test_machine_terminated_from_outside_says_so() -> None:
    with hardware() as guest:
        async with TCG.start(guest, rom(roms.SPIN)) as running:
            await running.unpause()
            os.kill(running.pid, signal.SIGTERM)
            with trio.fail_after(LIMIT_S):
                end = await running.wait()
    assert end == MachineEnd(EndReason.KILLED, "QEMU shut down: host-signal")


async def test_leaving_the_context_ends_a_running_guest() -> None:
    with hardware() as guest:
        async with TCG.start(guest, rom(roms.SPIN, says=b".")) as running:
            await running.unpause()
            with trio.fail_after(LIMIT_S):
                assert await running.console.receive_some() == b"."
        assert is_reaped(running.pid)


@pytest.mark.parametrize("unpaused", [False, True], ids=["paused", "running"])
async def test_cancellation_leaves_no_process(unpaused: bool) -> None:
    pids: list[int] = []
    with hardware() as guest, trio.fail_after(LIMIT_S):
        with trio.CancelScope() as scope:
            async with TCG.start(guest, rom(roms.SPIN)) as running:
                pids.append(running.pid)
                if unpaused:
                    await running.unpause()
                scope.cancel()
                await running.wait()
        assert scope.cancelled_caught
        assert is_reaped(pids[0])


async def test_cancellation_during_the_start_leaves_no_descriptor() -> None:
    with hardware() as guest:
        before = sorted(os.listdir("/proc/self/fd"))
        with trio.CancelScope() as scope:
            scope.cancel()
            async with TCG.start(guest, rom(roms.SPIN)):
                pytest.fail("cancelled before it could be entered")
        assert sorted(os.listdir("/proc/self/fd")) == before


async def test_end_leaves_no_descriptor() -> None:
    with hardware() as guest:
        before = sorted(os.listdir("/proc/self/fd"))
        async with TCG.start(guest, rom(roms.POWER_OFF)) as running:
            await run_to_the_end(running)
        assert sorted(os.listdir("/proc/self/fd")) == before


_STARTS_AND_SLEEPS = """
import trio
from tests.toolstack.machine.qemu.hardware import hardware
from toolstack.machine.qemu import QemuMachine
async def main():
    with hardware() as guest:
        async with QemuMachine().start(guest, None) as running:
            print(running.pid, flush=True)
            await trio.sleep_forever()
trio.run(main)
"""


def test_machine_dies_with_its_toolstack() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _STARTS_AND_SLEEPS], stdout=subprocess.PIPE, text=True
    ) as toolstack:
        assert toolstack.stdout is not None
        machine = os.pidfd_open(int(toolstack.stdout.readline()))
        toolstack.kill()
        ended, _, _ = select.select([machine], [], [], LIMIT_S)
        os.close(machine)
    assert ended == [machine]


async def test_machine_has_no_environment_and_only_its_descriptors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OURS", "not to be inherited")
    with hardware() as guest:
        async with TCG.start(guest, rom(roms.SPIN)) as running:
            environment = environment_of(running.pid)
            links = open_files_of(running.pid)
            status = status_of(running.pid)
    # What a shell sets by itself.
    assert environment <= {"PWD", "SHLVL", "_"}
    kinds = {link.partition(":")[0] for link in links}
    assert kinds == {"/dev/null", "pipe", "socket", "anon_inode", "/memfd"}
    memory = {link for link in links if link.startswith("/memfd")}
    assert memory == {
        f"/memfd:{name} (deleted)" for name in ("test-guest", "bios-extension", "qemu-stderr")
    }
    assert "\nSeccomp:\t2\n" in status
    assert "\nNoNewPrivs:\t1\n" in status


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to drop")
async def test_machine_that_root_starts_is_not_root() -> None:
    with hardware() as guest:
        async with TCG.start(guest, rom(roms.SPIN)) as running:
            status = status_of(running.pid)
    assert "\nUid:\t65533\t65533\t65533\t65533\n" in status
    assert "\nGid:\t65533\t65533\t65533\t65533\n" in status
    assert "\nCapBnd:\t0000000000000000\n" in status


async def test_missing_qemu_names_the_package() -> None:
    machine = QemuMachine(program="qemu-system-x86_64-that-is-not-there")
    with hardware() as guest, pytest.raises(MachineError) as caught:
        async with machine.start(guest, None):
            pytest.fail("started without a program")
    assert str(caught.value) == (
        "qemu-system-x86_64-that-is-not-there is not there: apt install qemu-system-x86"
    )


async def test_program_that_is_not_qemu_is_refused() -> None:
    with hardware() as guest, pytest.raises(MachineError, match=r"QEMU did not start: .*status 1"):
        async with QemuMachine(program="false").start(guest, None):
            pytest.fail("started")


@pytest.fixture
def mute_program() -> Iterator[Path]:
    """A program that says nothing, in a folder that a QEMU without root's rights may enter."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "mute"
        program.write_text("#!/bin/sh\nexec sleep 600\n")
        program.chmod(0o755)
        program.parent.chmod(0o755)
        yield program


async def test_program_that_never_greets_meets_the_deadline(mute_program: Path) -> None:
    machine = QemuMachine(program=str(mute_program), start_timeout_s=0.2)
    with hardware() as guest, pytest.raises(MachineError, match=r"not ready after 0\.2 s"):
        async with machine.start(guest, None):
            pytest.fail("started")


async def test_memory_file_of_the_wrong_size_is_refused_in_qemus_words() -> None:
    fd = create_ram_file("too-small", 32 * MIB)
    try:
        with hardware() as guest:
            broken = dataclasses.replace(guest, ram_fd=fd)
            with pytest.raises(MachineError) as caught:
                async with TCG.start(broken, None):
                    pytest.fail("started")
    finally:
        os.close(fd)
    assert str(caught.value) == (
        "QEMU did not start: QEMU exited with status 1: backing store size 0x2000000 "
        "does not match 'size' option 0x4000000"
    )


async def test_memory_layout_that_qemu_does_not_have_is_refused() -> None:
    with hardware() as guest:
        moved = (RamRegion(guest.regions[0].range, 0x1000),)
        with pytest.raises(MachineError, match="but QEMU's pc ends low RAM at 0xe0000000"):
            async with TCG.start(dataclasses.replace(guest, regions=moved), None):
                pytest.fail("started")


async def test_disks_of_each_bus_reach_the_guests_machine(tmp_path: Path) -> None:
    image = tmp_path / "disk"
    image.write_bytes(bytes(MIB))
    disks = (
        Disk(image, "raw", "hda", read_only=False),
        Disk(image, "raw", "hdc", read_only=True, cdrom=True),
        Disk(image, "raw", "sda", read_only=True),
        Disk(image, "raw", "xvda", read_only=True),
    )
    with hardware(disks=disks[:1]) as guest:
        async with TCG.start(guest, rom(roms.POWER_OFF)) as running:
            _, end = await run_to_the_end(running)
    assert end.reason is EndReason.POWERED_OFF
    with hardware(disks=disks[1:]) as guest:
        async with TCG.start(guest, rom(roms.POWER_OFF)) as running:
            _, end = await run_to_the_end(running)
    assert end.reason is EndReason.POWERED_OFF


async def test_missing_disk_is_named(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "nothing", "raw", "hda", read_only=False)
    with hardware(disks=(disk,)) as guest, pytest.raises(MachineError) as caught:
        async with TCG.start(guest, None):
            pytest.fail("started")
    assert str(caught.value) == (
        f"disk hda: {tmp_path}/nothing cannot be opened: No such file or directory"
    )
