from __future__ import annotations

import socket

from toolstack.ioreq_channel import ioreq_channel


def test_each_packet_arrives_as_one_and_all_is_closed_at_the_end() -> None:
    with ioreq_channel() as channel:
        assert channel.machine.type is socket.SOCK_SEQPACKET
        channel.machine.send(b"one")
        channel.machine.send(b"two")
        assert channel.device_model.recv(64) == b"one"
        assert channel.device_model.recv(64) == b"two"
    assert (channel.machine.fileno(), channel.device_model.fileno()) == (-1, -1)


def test_an_end_that_was_handed_over_may_be_closed_already() -> None:
    with ioreq_channel() as channel:
        channel.device_model.close()
        assert channel.machine.recv(64) == b""
