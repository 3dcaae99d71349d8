"""Attempts on other processes, and to make some."""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import threading

from tests.handoff.confinement.attempts.registry import Attempt, attempt, numbered, packed


@attempt
def fork() -> Attempt:
    def try_fork() -> None:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)

    return try_fork


@attempt
def start_a_thread() -> Attempt:
    def start() -> None:
        try:
            thread = threading.Thread(target=int)
            thread.start()
        except RuntimeError as error:
            raise OSError(errno.EPERM, str(error)) from error
        thread.join()

    return start


@attempt
def ptrace_its_parent() -> Attempt:
    trace = numbered("ptrace", 101, 117)
    parent = os.getppid()

    return lambda: trace(0x4206, parent, 0, 0)  # PTRACE_SEIZE: does not stop it


@attempt
def read_its_parents_memory() -> Attempt:
    read = numbered("process_vm_readv", 310, 270)
    parent = os.getppid()
    with open(f"/proc/{parent}/maps") as maps:
        address = next(int(line.split("-")[0], 16) for line in maps if " r" in line)
    here = ctypes.create_string_buffer(8)
    local = packed("<QQ", 16, ctypes.addressof(here), 8)
    remote = packed("<QQ", 16, address, 8)
    return lambda: read(parent, local, 1, remote, 1, 0)


@attempt
def signal_its_parent() -> Attempt:
    parent = os.getppid()
    return lambda: os.kill(parent, 0)


@attempt
def open_a_pidfd() -> Attempt:
    return lambda: os.close(os.pidfd_open(os.getpid()))


@attempt
def change_its_parents_limits() -> Attempt:
    parent = os.getppid()
    limits = resource.prlimit(parent, resource.RLIMIT_CORE)
    return lambda: resource.prlimit(parent, resource.RLIMIT_CORE, limits)


@attempt
def execute_a_program() -> Attempt:
    return lambda: os.execv("/bin/true", ["true"])
