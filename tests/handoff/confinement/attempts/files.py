"""Attempts on files and on the descriptors that stand for them."""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile

from handoff.confinement.libc import system_call
from tests.handoff.confinement.attempts.registry import Attempt, attempt, numbered, packed


@attempt
def open_a_file() -> Attempt:
    return lambda: os.open("/etc/passwd", os.O_RDONLY)


@attempt
def list_a_directory() -> Attempt:
    return lambda: os.listdir("/etc")


@attempt
def create_a_file() -> Attempt:
    path = os.path.join(tempfile.mkdtemp(), "created")
    os.chmod(os.path.dirname(path), 0o777)

    def create() -> None:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        os.unlink(path)

    return create


@attempt
def stat_a_path() -> Attempt:
    return lambda: os.stat("/etc/passwd")


@attempt
def reopen_guest_ram_through_proc() -> Attempt:
    fd = os.memfd_create("ram")
    return lambda: os.open(f"/proc/self/fd/{fd}", os.O_RDWR)


@attempt
def read_its_own_memory_through_proc() -> Attempt:
    return lambda: os.close(os.open("/proc/self/mem", os.O_RDONLY))


@attempt
def use_a_leaked_descriptor() -> Attempt:
    # Low numbers are taken by what this process opens later; a leak keeps its own.
    fd = fcntl.fcntl(sys.stderr.fileno(), fcntl.F_DUPFD, 50)
    return lambda: os.fstat(fd)


@attempt
def open_descriptors_without_end() -> Attempt:
    def hoard() -> None:
        fds: list[int] = []
        try:
            fds.extend(fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 0) for _ in range(500))
        finally:
            for fd in fds:
                os.close(fd)

    return hoard


@attempt
def open_an_io_uring() -> Attempt:
    parameters = packed("", 120)
    return lambda: os.close(system_call("io_uring_setup", 425, 4, parameters))


@attempt
def watch_a_path() -> Attempt:
    init = numbered("inotify_init1", 294, 26)
    return lambda: os.close(init(0))
