"""A device model that does its worst: `python -m toolstack.isolation.hostile ORDER ...`.

It is started as the real one is, with the same descriptors, and confines itself by the same call;
behind ORDER come the device model's arguments. Each attempt is told on standard error: `begin`
before it, `result` after it.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import socket
import sys
from dataclasses import dataclass
from typing import Any

from handoff.confinement import (
    ConfinementError,
    Identity,
    Layer,
    Mode,
    Profile,
    address_space_for,
    confine,
    prepare,
)
from toolstack.isolation.attempt import DEADLINE_S, Attempt, Stopped
from toolstack.isolation.attempts import named
from toolstack.isolation.position import (
    LEAKED_DIRECTORY_FD,
    LEAKED_FILE_FD,
    LEAKED_RAM_FD,
    Position,
)
from toolstack.isolation.surroundings import Surroundings
from toolstack.isolation.voice import HungUp, Refused, Voice
from toolstack.isolation.wire import RingWire, SocketWire

_FORK_S = int(2 * DEADLINE_S)


@dataclass(frozen=True, slots=True)
class Order:
    """What to try, and without which layers."""

    attempts: tuple[str, ...]
    without: tuple[Layer, ...]
    sacrificial: bool
    """a trial run: nothing is in the way, and each attempt is made in a process of its own"""
    around: Surroundings

    def encode(self) -> str:
        return json.dumps(
            {
                "attempts": self.attempts,
                "without": [layer.name for layer in self.without],
                "sacrificial": self.sacrificial,
                "around": self.around.encode(),
            }
        )

    @classmethod
    def decode(cls, text: str) -> Order:
        words: dict[str, Any] = json.loads(text)
        return cls(
            tuple(words["attempts"]),
            tuple(Layer[name] for name in words["without"]),
            words["sacrificial"],
            Surroundings.decode(words["around"]),
        )


def main() -> None:
    order = Order.decode(sys.argv[1])
    options = _options(sys.argv[2:])
    attempts = [named(name) for name in order.attempts]
    _inherit_by_mistake(order.around)
    fds = [int(word) for word in options.xenstore_fd.split(",")]
    ring = RingWire(*fds) if len(fds) > 1 else None
    voice = Voice(ring or SocketWire(socket.socket(fileno=fds[0])))
    position = Position(order.around, options.ram_fd, voice, ring, order.sacrificial)
    prepared = prepare(
        mode=options.sandbox,
        keep_fds=(*fds, options.ram_fd, 2),
        parent_pid=options.parent,
        without=order.without,
    )
    try:
        report = confine(
            prepared,
            Profile.DEVICE_MODEL,
            identity=Identity(options.uid, options.uid),
            address_space_bytes=address_space_for(order.around.ram_bytes),
        )
    except ConfinementError as error:
        _tell("error", text=str(error))
        sys.exit(1)
    states = {outcome.layer.name: outcome.state.name for outcome in report.outcomes}
    _tell("confined", states=states)
    for attempt in attempts:
        _tell("begin", name=attempt.name)
        if order.sacrificial:
            _make_in_a_fork(attempt, position)
        else:
            _make(attempt, position)
    _tell("end")


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--xenstore-fd", required=True)
    parser.add_argument("--ram-fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--uid", type=int, required=True)
    parser.add_argument("--sandbox", type=Mode, required=True)
    return parser.parse_known_args(words)[0]


def _inherit_by_mistake(around: Surroundings) -> None:
    """Descriptors that a careless launcher might have left open."""
    proc = f"/proc/{around.toolstack_pid}/fd/{around.bystander_ram_fd}"
    for path, flags, number in (
        (f"{around.scratch}/secret", os.O_RDONLY, LEAKED_FILE_FD),
        (around.scratch, os.O_RDONLY | os.O_DIRECTORY, LEAKED_DIRECTORY_FD),
        (proc, os.O_RDWR, LEAKED_RAM_FD),
    ):
        fd = os.open(path, flags)
        os.dup2(fd, number)
        os.close(fd)


def _make_in_a_fork(attempt: Attempt, position: Position) -> None:
    """The same without a trace of it in this process; says how the other one ended, if it did."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(_FORK_S)  # whatever becomes of the one that waits for it
        _make(attempt, position)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        _tell("result", name=attempt.name, through=False, what=f"ended with {status}")


def _make(attempt: Attempt, position: Position) -> None:
    try:
        what, through = attempt.make(position), True
    except OSError as error:
        what, through = errno.errorcode.get(error.errno or 0, str(error)), False
    except Refused as refused:
        what, through = refused.errno, False
    except (Stopped, HungUp) as end:
        what, through = str(end), False
    _tell("result", name=attempt.name, through=through, what=what)


def _tell(kind: str, **words: object) -> None:
    os.write(2, f"{kind} {json.dumps(words)}\n".encode())


if __name__ == "__main__":
    main()
