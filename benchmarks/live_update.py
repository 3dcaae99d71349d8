#!/usr/bin/env python3
"""How long clients wait while xenstored replaces itself: ours, and C xenstored of Xen 4.17.

One client reads a node in a loop, another asks for the live update. Printed is the longest time
that the first one waited for an answer, and the time from the request to its answer. Each daemon
becomes the same program again.
"""

from __future__ import annotations

import argparse
import os
import platform
import select
import socket
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final

from benchmarks.command import count, run
from benchmarks.xenstore.daemons import DaemonFailed, serving
from tests.oracle.real_xenstored import XENSTORED, RealXenstored
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.layout import Packet, encode_packet
from xenstore_sim.wire.ops import Op

_NODES: Final = 100_000
_PER_DIRECTORY: Final = 1000
_AT_ONCE: Final = 50
"""Requests of which the answers are awaited together."""
_NODE: Final = "/bench"
_VALUE: Final = b"0123456789abcdef"
_ANSWER_S: Final = 180.0


class UpdateFailed(Exception):
    """A daemon did not replace itself."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Of one live update, in milliseconds."""

    longest: float
    """wait of the client that reads"""
    whole: float
    """from the request for the update to its answer"""
    without: float
    """longest wait of the same client in as long a time just after"""


class Client:
    """A connection of dom0."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(_ANSWER_S)
        self.socket.connect(str(path))
        self._decoder = Decoder()

    def send(self, op: Op, payload: bytes) -> None:
        self.socket.sendall(encode_packet(op, 1, 0, payload))

    def receive(self) -> Packet:
        """The next answer. Raises: UpdateFailed, OSError."""
        while (packet := self._decoder.next_packet()) is None:
            data = self.socket.recv(65536)
            if not data:
                raise UpdateFailed("the daemon ended the connection")
            self._decoder.feed(data)
        return packet

    def ask(self, op: Op, payload: bytes) -> bytes:
        """Raises: UpdateFailed, OSError."""
        self.send(op, payload)
        answer = self.receive()
        if answer.type != op:
            raise UpdateFailed(f"{op.name} {payload[:40]!r}: {answer.payload!r}")
        return answer.payload


@dataclass(frozen=True, slots=True)
class Daemon:
    """A running one, and the program that takes its place."""

    name: str
    socket_path: Path
    program: Path
    prepare: Callable[[], None]
    """To be called before each update."""


@contextmanager
def running(parent: Path) -> Iterator[tuple[Daemon, Daemon]]:
    """Both of them. Raises: DaemonFailed."""
    with RealXenstored() as real:
        # What stands in for Xen tells only once that it serves.
        theirs = _program(
            parent / "theirs", f'unset XENSTORED_STUB_READY_FD\nexec {XENSTORED} "$@"'
        )
        source = Path(__file__).parents[1]
        interpreter = f"{sys.executable} -P -m xenstore_sim"
        ours = _program(parent / "ours", f'PYTHONPATH={source} exec {interpreter} "$@"')
        path = parent / "run" / "socket"
        path.parent.mkdir()
        command = (ours, "--rundir", path.parent, "--compat", "4.17")
        with serving("xenstore-sim", command, path):
            yield (
                Daemon("C", real.socket_path, theirs, real.offer_virq_again),
                Daemon("ours", path, ours, lambda: None),
            )


def _program(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o700)
    return path


def fill(client: Client, nodes: int) -> None:
    """Make so many nodes. Raises: UpdateFailed, OSError."""
    for begin in range(0, nodes, _AT_ONCE):
        numbers = range(begin, min(begin + _AT_ONCE, nodes))
        for number in numbers:
            path = f"{_NODE}/{number // _PER_DIRECTORY}/{number % _PER_DIRECTORY}"
            client.send(Op.WRITE, path.encode() + b"\0" + _VALUE)
        for _ in numbers:
            client.receive()


def pause(daemon: Daemon) -> Pause:
    """Let it replace itself. Raises: UpdateFailed, OSError."""
    reader, asker = Client(daemon.socket_path), Client(daemon.socket_path)
    daemon.prepare()
    payload = b"live-update\0-f\0" + os.fsencode(daemon.program) + b"\0"
    if (answer := asker.ask(Op.CONTROL, payload)) != b"OK\0":
        raise UpdateFailed(f"{daemon.name}: {answer!r}")
    began = perf_counter()
    asker.send(Op.CONTROL, b"live-update\0-s\0")
    longest = _read_until(reader, lambda: _readable(asker))
    whole = perf_counter() - began
    if (answer := asker.receive().payload) != b"OK\0":
        raise UpdateFailed(f"{daemon.name}: {answer!r}")
    end = perf_counter() + whole
    quiet = _read_until(reader, lambda: perf_counter() > end)
    reader.socket.close()
    asker.socket.close()
    return Pause(longest * 1e3, whole * 1e3, quiet * 1e3)


def _readable(client: Client) -> bool:
    return bool(select.select([client.socket], [], [], 0)[0])


def _read_until(reader: Client, done: Callable[[], bool]) -> float:
    """The longest wait, in seconds. Raises: UpdateFailed, OSError."""
    longest = 0.0
    payload = _NODE.encode() + b"\0"
    end = perf_counter() + _ANSWER_S
    while True:
        began = perf_counter()
        # Before the last read, so that the wait in which the update ended counts.
        last = done()
        reader.ask(Op.READ, payload)
        longest = max(longest, perf_counter() - began)
        if last:
            return longest
        if began > end:
            raise UpdateFailed(f"no answer to the live update within {_ANSWER_S:g} s")


def row(name: str, nodes: int, pauses: Sequence[Pause]) -> str:
    """Medians, and how far the pauses lie apart."""
    longest = [each.longest for each in pauses]
    whole, without = (
        statistics.median(values)
        for values in ([each.whole for each in pauses], [each.without for each in pauses])
    )
    return (
        f"{name:6}{nodes:>9,}{statistics.median(longest):>11.1f}"
        f"{f'{min(longest):.1f}-{max(longest):.1f}':>16}{whole:>11.0f}{without:>11.1f}"
    )


def options(words: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.live_update", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("--repetitions", type=count, default=5, metavar="N", help="default: 5")
    parser.add_argument(
        "--nodes", type=count, default=_NODES, help=f"of the large store, default: {_NODES}"
    )
    return parser.parse_args(words)


def main() -> None:
    chosen = options()
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} CPUs, Linux {platform.release()}, load {load}")
    print(f"Python {platform.python_version()}; milliseconds, medians of {chosen.repetitions}")
    print(f"{'':6}{'nodes':>9}{'pause':>11}{'least-most':>16}{'update':>11}{'without':>11}")
    with TemporaryDirectory(prefix="live-") as directory, running(Path(directory)) as daemons:
        for daemon in daemons:
            Client(daemon.socket_path).ask(Op.WRITE, _NODE.encode() + b"\0" + _VALUE)
        for nodes in (1, chosen.nodes):
            for daemon in daemons:
                if nodes > 1:
                    fill(Client(daemon.socket_path), nodes)
                pauses = [pause(daemon) for _ in range(chosen.repetitions)]
                print(row(daemon.name, nodes, pauses), flush=True)


if __name__ == "__main__":
    run("benchmarks.live_update", main, UpdateFailed, DaemonFailed, OSError)
