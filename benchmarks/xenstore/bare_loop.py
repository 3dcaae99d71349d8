"""No xenstored: what one in Python does at the least.

It waits by epoll, reads, looks a path up in a dict or changes that, answers and tells watchers. No
directories, permissions, transactions or quotas, no client that sends half a request or does not
read, no bound on anything. What it costs, no xenstored in Python costs less.

Usage: bare_loop.py sockets|descriptors PATH
"""

import os
import select
import socket
import sys
from typing import Final

from xenstore_sim.wire.layout import HEADER, HEADER_SIZE
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.payloads import OK

_BYTES: Final = 8192
# Numbers, as they come: a member of an enum costs more than the lookup of the node.
_READ: Final = int(Op.READ)
_WRITE: Final = int(Op.WRITE)
_MKDIR: Final = int(Op.MKDIR)
_RM: Final = int(Op.RM)
_WATCH: Final = int(Op.WATCH)
_WATCH_EVENT: Final = int(Op.WATCH_EVENT)


class Nodes:
    """Values by path, and who watches which. Paths have their NUL."""

    def __init__(self) -> None:
        self._values: dict[bytes, bytes] = {}
        self._watches: dict[bytes, list[tuple[int, bytes]]] = {}

    def told(self, data: bytes) -> tuple[tuple[int, bytes], ...] | list[tuple[int, bytes]]:
        """Descriptors and events that come of a WRITE."""
        if not self._watches or HEADER.unpack_from(data)[0] != _WRITE:
            return ()
        return self._watches.get(data[HEADER_SIZE : data.index(0, HEADER_SIZE) + 1], ())

    def answer(self, fd: int, data: bytes) -> bytes:
        """The answer to whole requests."""
        type_, req_id, tx_id, size = HEADER.unpack_from(data)
        end = HEADER_SIZE + size
        payload = data[HEADER_SIZE:end]
        answer = OK
        if type_ == _READ:
            answer = self._values[payload]
        elif type_ == _WRITE:
            path, _, value = payload.partition(b"\0")
            self._values[path + b"\0"] = value
        elif type_ == _MKDIR:
            self._values[payload] = b""
        elif type_ == _RM:
            self._values.pop(payload, None)
        reply: bytes = HEADER.pack(type_, req_id, tx_id, len(answer)) + answer
        if type_ == _WATCH:
            event = HEADER.pack(_WATCH_EVENT, 0, 0, size) + payload
            path, _, _ = payload.partition(b"\0")
            self._watches.setdefault(path + b"\0", []).append((fd, event))
            reply += event
        # Only preparations ask more at once.
        return reply if len(data) == end else reply + self.answer(fd, data[end:])

    def forget(self, fd: int) -> None:
        """It watches nothing any more."""
        if self._watches:
            for path, watches in tuple(self._watches.items()):
                self._watches[path] = [each for each in watches if each[0] != fd]
                if not self._watches[path]:
                    del self._watches[path]


def serve_sockets(listener: socket.socket) -> None:
    """Have an object of each socket, as Python usually does."""
    nodes, epoll, listening = Nodes(), select.epoll(), listener.fileno()
    epoll.register(listening, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for fd, _ in epoll.poll():
            if fd == listening:
                client, _ = listener.accept()
                clients[client.fileno()] = client
                epoll.register(client.fileno(), select.EPOLLIN)
            elif data := clients[fd].recv(_BYTES):
                for watcher, event in nodes.told(data):
                    clients[watcher].send(event)
                clients[fd].send(nodes.answer(fd, data))
            else:
                nodes.forget(fd)
                clients.pop(fd).close()


def serve_descriptors(listener: socket.socket) -> None:
    """Have the numbers alone."""
    nodes, epoll, listening = Nodes(), select.epoll(), listener.fileno()
    epoll.register(listening, select.EPOLLIN)
    while True:
        for fd, _ in epoll.poll():
            if fd == listening:
                # There is no other way to none but its number.
                client, _ = listener._accept()  # type: ignore[attr-defined]
                epoll.register(client, select.EPOLLIN)
            elif data := os.read(fd, _BYTES):
                for watcher, event in nodes.told(data):
                    os.write(watcher, event)
                os.write(fd, nodes.answer(fd, data))
            else:
                nodes.forget(fd)
                os.close(fd)


def main() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(sys.argv[2])
        listener.listen(1024)
        if sys.argv[1] == "sockets":
            serve_sockets(listener)
        else:
            serve_descriptors(listener)


if __name__ == "__main__":
    main()
