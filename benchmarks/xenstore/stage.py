"""One daemon and the connections of the client that measures it."""

import ctypes
import socket
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from benchmarks.xenstore.daemons import DOMID, Daemon, is_floor, limit_waits
from benchmarks.xenstore.load import Load, LoadFailed, Ports, Round, Taken
from benchmarks.xenstore.steps import OK, Kind, Step, packet, text
from xenstore_sim.wire.ops import Op

HOME: Final = f"/local/domain/{DOMID}"
BENCH: Final = "/bench"
_AT_ONCE: Final = 50
"""Requests of a preparation in one send: neither side's buffers are full then."""


class Stage:
    """Where a scene is prepared and its rows are played."""

    def __init__(self, daemon: Daemon, load: Load) -> None:
        self.daemon = daemon
        self.floor = is_floor(daemon)
        self._load = load
        self._ports = Ports()
        self._sockets: list[socket.socket] = []
        self.dom0 = self.connect()
        payload = daemon.introduction()
        if payload is not None:
            self.play(self.round([Step.ask(self.dom0, Op.INTRODUCE, payload)]))
        self.make([HOME])
        self.play(self.round([Step.ask(self.dom0, Op.SET_PERMS, text(HOME, f"n{DOMID}"))]))
        self._end = daemon.ring()
        page = ctypes.addressof(ctypes.c_char.from_buffer(self._end.page))
        self.ring = self._ports.add(self._end.to_server, self._end.to_client, page)
        self._lasting = self._ports.mark()

    # -- connections

    def connect(self) -> int:
        """The port of a new client, which is dom0."""
        client = socket.socket(socket.AF_UNIX)
        limit_waits(client)
        client.connect(str(self.daemon.socket_path))
        self._sockets.append(client)
        return self._ports.add(client.fileno())

    def unconnected(self) -> int:
        """A port for `visit`."""
        return self._ports.add()

    def visit(self, port: int, asked: Step) -> tuple[Step, ...]:
        """Connect, ask, hang up."""
        path = bytes(self.daemon.socket_path) + b"\0"
        return (Step(port, path, kind=Kind.CONNECT), asked, Step(port, kind=Kind.HANG_UP))

    def leave(self) -> None:
        """End every connection but those that each scene has, and remove what it made."""
        for client in self._sockets[1:]:
            client.close()
        del self._sockets[1:]
        self._ports.cut(self._lasting)
        self.play(self.round([Step.ask(self.dom0, Op.RM, text(BENCH))]))

    # -- preparing

    def write(self, path: str, value: bytes) -> None:
        """Make the node; what is above it, too."""
        self.play(self.round([Step.ask(self.dom0, Op.WRITE, text(path) + value)]))

    def make(self, paths: Iterable[str]) -> None:
        """Make these nodes, without values."""
        requests = (packet(Op.MKDIR, text(path)) for path in paths)
        for batch in _batches(requests):
            step = Step(self.dom0, b"".join(batch), len(batch), Op.MKDIR, OK)
            self.play(self.round([step]))

    def watch(self, port: int, paths: Iterable[str]) -> None:
        """Watch them, and take the events that come at once."""
        requests = (packet(Op.WATCH, text(path, "token")) for path in paths)
        for batch in _batches(requests):
            messages = len(batch) if self.floor else 2 * len(batch)
            self.play(self.round([Step(port, b"".join(batch), messages)]))

    # -- playing

    def round(self, steps: Sequence[Step]) -> Round:
        """These steps, for `play`."""
        return Round(steps, answers_checked=not self.floor)

    def play(self, played: Round, seconds: float = 0.0) -> Taken:
        """Play it again and again for so long, at least once. Raises: LoadFailed."""
        try:
            return self._load.play(self._ports, played, seconds)
        except LoadFailed as error:
            raise LoadFailed(f"{self.daemon.name}: {error}") from error

    def close(self) -> None:
        """Let go of every connection."""
        for client in self._sockets:
            client.close()
        self._end.close()


def _batches(requests: Iterable[bytes]) -> Iterable[list[bytes]]:
    rest = iter(requests)
    while batch := list(islice(rest, _AT_ONCE)):
        yield batch
