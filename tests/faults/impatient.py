"""The toolstack with its fixed deadlines scaled down: `python -m tests.faults.impatient ARGUMENTS`.

Deadlines that have an option are scaled down by it. With RAM_LIMIT_DIRECTORY in the environment
guest RAM is a file of the file system that is mounted there, which is small: it runs full as the
host's memory does, with ENOSPC for a write and SIGBUS for a store.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from functools import partial
from typing import Any

import toolstack.create
import toolstack.domains
import toolstack.machine.emulator.machine
import toolstack.machine.qemu
import toolstack.machine.qemu.running
import toolstack.store
import toolstack.xenstored
from toolstack.__main__ import main

RAM_LIMIT_DIRECTORY = "RAM_LIMIT_DIRECTORY"
ANSWER_S = 2.0
CLEAN_UP_S = 1.5
START_S = 8.0


def _ram_in(directory: str) -> None:
    """Makes guest RAM files in `directory`; they cannot be sealed."""
    fcntl_of_the_system = fcntl.fcntl

    def memfd_create(name: str, flags: int = 0) -> int:
        fd, path = tempfile.mkstemp(prefix=f"{name}-", dir=directory)
        os.unlink(path)
        # As a memory file is: QEMU, which is another user, opens it anew.
        os.fchmod(fd, 0o777)
        return fd

    def unless_sealing(fd: int, command: int, argument: Any = 0) -> Any:
        return 0 if command == fcntl.F_ADD_SEALS else fcntl_of_the_system(fd, command, argument)

    os.memfd_create = memfd_create
    fcntl.fcntl = unless_sealing  # type: ignore[assignment]


if __name__ == "__main__":
    toolstack.store.CONNECT_S = toolstack.xenstored.CONNECT_S = ANSWER_S
    toolstack.store.ANSWER_S = ANSWER_S
    toolstack.create.CLEAN_UP_S = toolstack.domains.CLEAN_UP_S = CLEAN_UP_S
    toolstack.machine.emulator.machine._START_SECONDS = START_S
    toolstack.machine.qemu.running.COMMAND_TIMEOUT_S = ANSWER_S
    qemu = partial(toolstack.machine.qemu.QemuMachine, start_timeout_s=START_S)
    toolstack.machine.qemu.QemuMachine = qemu  # type: ignore[misc, assignment]
    if directory := os.environ.get(RAM_LIMIT_DIRECTORY):
        _ram_in(directory)
    sys.argv[0] = "toolstack"
    main()
