"""A device model that was started before it was known for which guest.

It is told on a channel: one line of JSON, which has the argument list and how many descriptors
are its xenstore connection, and with it the descriptors: its log, that connection, and guest RAM
where that is a memory file.
"""

from __future__ import annotations

import json
import os
import socket

MESSAGE_MAX_BYTES = 256 * 1024
"""The toolstack tells no more: a longer list is for a process of its own."""
_DESCRIPTORS_MAX = 5


def receive(channel_fd: int) -> list[str] | None:
    """The arguments, once they come; None if the toolstack needs no device model.

    The log is standard error then, the other standard streams are /dev/null, and the channel
    is closed.
    """
    with socket.socket(fileno=channel_fd) as channel:
        data, fds, _, _ = socket.recv_fds(channel, MESSAGE_MAX_BYTES, _DESCRIPTORS_MAX)
        while data and not data.endswith(b"\n") and len(data) < MESSAGE_MAX_BYTES:
            more = channel.recv(MESSAGE_MAX_BYTES)
            if not more:
                return None
            data += more
    if not data:
        return None
    told = json.loads(data)
    log_fd, *rest = fds
    os.dup2(log_fd, 2)
    os.close(log_fd)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nothing, stream)
    os.close(nothing)
    xenstore_fds, ram_fds = rest[: told["xenstore_fds"]], rest[told["xenstore_fds"] :]
    words = ["--xenstore-fd", ",".join(map(str, xenstore_fds))]
    for ram_fd in ram_fds:
        words += ["--ram-fd", str(ram_fd)]
    return [*words, *told["arguments"]]
