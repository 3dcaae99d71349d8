#!/usr/bin/env python3
"""What no xenstored in plain Python can be faster than: a loop that only looks a path up in a dict.

Pinned, as in benchmarks.xenstore: the CPU time of client and server for one READ, beside the floor.
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.command import count, run
from benchmarks.spread import Spread
from benchmarks.xenstore.daemons import DaemonFailed, floor, limit_waits, serving
from benchmarks.xenstore.load import Load, LoadFailed, Ports, Round
from benchmarks.xenstore.measure import cpu_ns
from benchmarks.xenstore.native import Native
from benchmarks.xenstore.steps import Step, text
from xenstore_sim.wire.layout import HEADER
from xenstore_sim.wire.ops import Op

PATH = "/bench/node"
VALUE = b"0123456789abcdef"
ROOT = Path(__file__).parents[2]


def serve(path: str) -> None:
    """Answer READ, whole requests alone, until killed."""
    nodes = {text(PATH): VALUE}
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    epoll = select.epoll()
    epoll.register(listener.fileno(), select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for fd, _ in epoll.poll():
            if fd == listener.fileno():
                client, _ = listener.accept()
                clients[client.fileno()] = client
                epoll.register(client.fileno(), select.EPOLLIN)
            elif data := clients[fd].recv(8192):
                type_, req_id, tx_id, _ = HEADER.unpack_from(data)
                value = nodes[data[HEADER.size :]]
                clients[fd].send(HEADER.pack(type_, req_id, tx_id, len(value)) + value)
            else:
                epoll.unregister(fd)
                clients.pop(fd).close()


def sample_us(load: Load, pid: int, path: Path, seconds: float) -> float:
    """CPU time of client and server for a READ."""
    with socket.socket(socket.AF_UNIX) as client:
        limit_waits(client)
        client.connect(str(path))
        ports = Ports()
        read = Step.ask(ports.add(client.fileno()), Op.READ, text(PATH), VALUE)
        # The floor knows no values.
        played = Round([read], answers_checked=False)
        load.play(ports, played, seconds / 2)
        before = cpu_ns(pid) + time.thread_time_ns()
        taken = load.play(ports, played, seconds)
        return (cpu_ns(pid) + time.thread_time_ns() - before) / 1e3 / taken.rounds


def measured(repetitions: int, seconds: float) -> tuple[Spread, Spread]:
    """The floor's time and the loop's, in turns."""
    with ExitStack() as opened:
        directory = Path(opened.enter_context(TemporaryDirectory(prefix="xs-loop-")))
        programs = Path(opened.enter_context(TemporaryDirectory(prefix="xs-native-")))
        native = Native.compiled(programs)
        load = Load(native.load)
        # Whoever is started from here on runs there, too.
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        bare = opened.enter_context(floor(native, directory))
        path = directory / "loop"
        command = (sys.executable, Path(__file__), "--serve", path)
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        loop = opened.enter_context(serving("loop", command, path, environment=environment))
        samples = [
            (
                sample_us(load, bare.pid, bare.socket_path, seconds),
                sample_us(load, loop.pid, path, seconds),
            )
            for _ in range(repetitions)
        ]
    floors, loops = zip(*samples, strict=True)
    return Spread.of(floors), Spread.of(loops)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.xenstore.python_loop", description=__doc__)
    parser.add_argument("--repetitions", type=count, default=7, metavar="N")
    parser.add_argument("--serve", metavar="PATH", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.serve is not None:
        serve(chosen.serve)
    bare, loop = measured(chosen.repetitions, 0.05)
    print(f"floor, µs                {bare.text(2)}")
    print(f"bare Python loop, µs     {loop.text(2)}")
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"load at the end          {load}")


if __name__ == "__main__":
    failures = (DaemonFailed, LoadFailed, subprocess.SubprocessError, OSError)
    run("benchmarks.xenstore.python_loop", main, *failures)
