"""The xenstore device where it does not do what is hoped for."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from xenstore_sim.client.device_transport import DeviceTransport, is_device
from xenstore_sim.wire.errors import Disconnected
from xenstore_sim.wire.layout import encode_packet


@pytest.fixture
def kernel() -> Iterator[tuple[socket.socket, DeviceTransport]]:
    ours, program = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        yield ours, DeviceTransport(program.detach())


Pair = tuple[socket.socket, DeviceTransport]


def test_each_message_is_a_write_of_its_own_after_the_answer_to_the_last(kernel: Pair) -> None:
    device, transport = kernel
    first, second = encode_packet(2, 1, 0, b"/a\0"), encode_packet(4, 2, 0, b"/b\0t\0")
    outgoing = bytearray(first + second)
    del outgoing[: transport.send(outgoing)]
    answer, event = encode_packet(2, 1, 0, b"value"), encode_packet(15, 0, 0, b"/c\0t\0")
    for part in (event, answer[:10]):
        device.send(part)
        assert transport.receive() == part
        with pytest.raises(BlockingIOError):
            transport.send(outgoing)
    device.send(answer[10:])
    transport.receive()
    del outgoing[: transport.send(outgoing)]
    assert [device.recv(100), device.recv(100)] == [first, second]


def test_a_read_that_finds_nothing_does_not_wait(kernel: Pair) -> None:
    with pytest.raises(BlockingIOError):
        kernel[1].receive()


def test_a_device_that_ends_is_a_lost_connection(kernel: Pair) -> None:
    device, transport = kernel
    device.close()
    with pytest.raises(Disconnected, match="no more answers"):
        transport.receive()
    with pytest.raises(Disconnected, match="failed: Broken pipe"):
        transport.send(bytearray(encode_packet(2, 1, 0, b"/a\0")))


async def test_closing_ends_a_wait(kernel: Pair) -> None:
    _, transport = kernel
    async with trio.open_nursery() as nursery:
        with trio.fail_after(30):
            await trio.testing.wait_all_tasks_blocked()

            async def wait() -> None:
                await transport.wait(to_send=False)

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            transport.close()


def test_a_host_without_the_device_says_what_is_missing(tmp_path: Path) -> None:
    missing = str(tmp_path / "xenbus")
    with pytest.raises(Disconnected, match=r"xenbus: No such file.*no domain of a Xen host"):
        DeviceTransport.open(missing)


def test_the_devices_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    second = tmp_path / "second"
    os.mkfifo(second)
    devices = (str(tmp_path / "first"), str(second))
    monkeypatch.setattr("xenstore_sim.client.device_transport.DEVICES", devices)
    fd = DeviceTransport.open().descriptor
    assert os.readlink(f"/proc/self/fd/{fd}") == str(second)
    os.close(fd)


def test_a_device_is_told_from_a_socket() -> None:
    with open(os.devnull) as null, socket.socket(socket.AF_UNIX) as sock:
        assert is_device(null.fileno())
        assert not is_device(sock.fileno())
