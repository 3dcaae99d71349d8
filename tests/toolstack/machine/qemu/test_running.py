"""What a misbehaving QEMU can make of us: a process of ours in its place, QMP spoken by hand."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
import trio
import trio.testing

from handoff.errors import MachineError
from tests.toolstack.machine.qemu.qmp.test_protocol import GREETING
from toolstack.machine.port import EndReason, MachineEnd
from toolstack.machine.qemu import RunningQemu, last_words

OK = b'{"return": {}, "id": 1}\n'
POWERED_OFF = b'{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}\n'


@dataclass
class Impostor:
    """A process that only sleeps, and QEMU's end of its monitor."""

    running: RunningQemu
    qmp: socket.socket
    stderr: int
    answer_to_cont: bytes = b""

    async def negotiated(self, nursery: trio.Nursery) -> None:
        nursery.start_soon(self._serve)
        await self.running.handshake(10)

    async def _serve(self) -> None:
        async with trio.SocketStream(trio.socket.from_stdlib_socket(self.qmp.dup())) as stream:
            await stream.send_all(GREETING)
            for answer in (OK, self.answer_to_cont):
                if await stream.receive_some():
                    await stream.send_all(answer)


def sleeper() -> subprocess.Popen[bytes]:
    return subprocess.Popen(("sleep", "600"))


@pytest.fixture
async def impostor() -> AsyncIterator[Impostor]:
    ours, its = socket.socketpair()
    console, console_its = os.pipe()
    os.close(console_its)
    stderr = last_words.create()
    process = sleeper()
    running = RunningQemu(
        process,
        trio.lowlevel.FdStream(console),
        trio.SocketStream(trio.socket.from_stdlib_socket(ours)),
        stderr,
    )
    with its:
        yield Impostor(running, its, stderr)
    # Before destroy, whose deadline an autojump clock would jump to.
    process.kill()
    process.wait(60)
    await running.destroy(flush_disks=False)


async def test_garbage_instead_of_a_greeting_is_refused(impostor: Impostor) -> None:
    impostor.qmp.send(b"220 smtp.example.org\r\n")
    with pytest.raises(MachineError, match="QEMU's monitor cannot be used: not JSON: 220 smtp"):
        await impostor.running.handshake(10)


async def test_monitor_closed_by_a_process_that_stays_meets_a_deadline(
    impostor: Impostor, autojump_clock: trio.testing.MockClock
) -> None:
    impostor.qmp.close()
    with pytest.raises(MachineError, match="QEMU closed its monitor before it started"):
        await impostor.running.handshake(10)


async def test_unpause_without_an_answer_meets_a_deadline(
    impostor: Impostor, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    await impostor.negotiated(nursery)
    with pytest.raises(MachineError, match="QEMU did not unpause in 10 s"):
        await impostor.running.unpause()


async def test_unpause_of_a_machine_that_is_gone_tells_how_it_went(
    impostor: Impostor, nursery: trio.Nursery
) -> None:
    await impostor.negotiated(nursery)
    os.kill(impostor.running.pid, signal.SIGKILL)
    impostor.qmp.shutdown(socket.SHUT_RDWR)
    with pytest.raises(MachineError, match="cannot be unpaused: QEMU was killed by SIGKILL"):
        await impostor.running.unpause()


async def test_unpause_of_a_machine_that_stays_without_its_monitor_is_told(
    impostor: Impostor, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    await impostor.negotiated(nursery)
    impostor.qmp.shutdown(socket.SHUT_RDWR)
    with pytest.raises(MachineError, match="cannot be unpaused: QEMU closed its monitor"):
        await impostor.running.unpause()


async def test_refused_unpause_gives_qemus_words(impostor: Impostor, nursery: trio.Nursery) -> None:
    impostor.answer_to_cont = b'{"error": {"class": "GenericError", "desc": "no vCPU"}, "id": 2}\n'
    await impostor.negotiated(nursery)
    with pytest.raises(MachineError, match="cannot be unpaused: QEMU refused `cont`: no vCPU"):
        await impostor.running.unpause()


async def test_garbage_during_the_run_is_a_crash(impostor: Impostor, nursery: trio.Nursery) -> None:
    await impostor.negotiated(nursery)
    impostor.qmp.send(b"{}\n")
    end = await impostor.running.wait()
    assert end == MachineEnd(
        EndReason.CRASHED,
        "QEMU's monitor cannot be used: neither greeting, reply nor event: {}",
    )


async def test_process_that_stays_after_its_shutdown_is_not_waited_for(
    impostor: Impostor, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    await impostor.negotiated(nursery)
    impostor.qmp.send(POWERED_OFF)
    impostor.qmp.shutdown(socket.SHUT_RDWR)
    end = await impostor.running.wait()
    assert end.reason is EndReason.POWERED_OFF


async def test_process_that_closes_its_monitor_without_a_word_crashed(
    impostor: Impostor, nursery: trio.Nursery, autojump_clock: trio.testing.MockClock
) -> None:
    await impostor.negotiated(nursery)
    impostor.qmp.shutdown(socket.SHUT_RDWR)
    end = await impostor.running.wait()
    assert end == MachineEnd(EndReason.CRASHED, "QEMU closed its monitor and did not exit")


async def test_crash_is_told_in_qemus_last_words(impostor: Impostor, nursery: trio.Nursery) -> None:
    await impostor.negotiated(nursery)
    os.write(impostor.stderr, b"qemu-system-x86_64: one\nqemu-system-x86_64: two\n")
    os.kill(impostor.running.pid, signal.SIGABRT)
    impostor.qmp.shutdown(socket.SHUT_RDWR)
    end = await impostor.running.wait()
    assert end == MachineEnd(EndReason.CRASHED, "QEMU was killed by SIGABRT: two")
