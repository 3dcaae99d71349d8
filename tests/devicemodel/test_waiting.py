"""A device model that is told its arguments and descriptors on a channel."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

RECEIVER = """
import os, sys
from devicemodel.waiting import receive
arguments = receive(int(sys.argv[1]))
if arguments is None:
    sys.exit(7)
assert arguments[0::2][:2] == ["--xenstore-fd", "--ram-fd"], arguments
for number in arguments[1:4:2]:
    print(os.pread(int(number), 64, 0).decode(), file=sys.stderr)
print("lost")  # standard output is /dev/null by now
print(*arguments[4:], file=sys.stderr)
"""


class Receiver:
    """A process that receives, and the other end of its channel."""

    def __init__(self) -> None:
        self.channel, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RECEIVER, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )

    def ended(self) -> tuple[int, bytes]:
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    with made.channel:
        yield made
        made.process.kill()
        made.process.communicate()


def _memory(content: bytes) -> int:
    fd = os.memfd_create("test")
    os.write(fd, content)
    return fd


@pytest.mark.parametrize("cut", [0, 1, 20], ids=lambda cut: f"first-{cut}")
def test_arguments_and_descriptors_arrive_however_the_message_is_cut(
    receiver: Receiver, cut: int
) -> None:
    fds = [_memory(b""), _memory(b"xenstore"), _memory(b"guest RAM")]
    words = ["-xen-domid", "3", "-direct-boot-frame", "A" * 1900] * 20
    message = json.dumps({"xenstore_fds": 1, "arguments": words}).encode() + b"\n"
    try:
        first = message[:cut] or message
        socket.send_fds(receiver.channel, [first], fds)
        receiver.channel.sendall(message[len(first) :])
        assert receiver.ended() == (0, b"")
        log = os.pread(fds[0], 1 << 20, 0).decode()
    finally:
        for fd in fds:
            os.close(fd)
    assert log == f"xenstore\nguest RAM\n{' '.join(words)}\n"


def test_a_channel_that_closes_means_that_nobody_needs_it(receiver: Receiver) -> None:
    receiver.channel.close()
    assert receiver.ended() == (7, b"")
