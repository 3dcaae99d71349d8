"""Attempts on other processes, to make some, and on what memory may be used for."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal

from handoff.confinement import Layer
from toolstack.isolation.attempt import Attempt, Stopped
from toolstack.isolation.attempts.calls import call, filled
from toolstack.isolation.position import Position
from toolstack.isolation.promises import Promise

_FORKS = 24
_HOG_BYTES = 1 << 40
_MAP_NORESERVE = 0x4000
_PTRACE_SEIZE = 0x4206  # does not stop it
_PTRACE_DETACH = 17

_ptrace = call("ptrace", 101, 117)
_process_vm_readv = call("process_vm_readv", 310, 270)
_process_vm_writev = call("process_vm_writev", 311, 271)
_pidfd_open = call("pidfd_open", 434)
_kcmp = call("kcmp", 312, 272)
_userfaultfd = call("userfaultfd", 323, 282)
_mprotect = call("mprotect", 10, 226)
_sched_setaffinity = call("sched_setaffinity", 203, 122)


def _fork() -> int:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    return pid


def fork(position: Position) -> str:
    pid = _fork()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "a second process"


def fork_bomb(position: Position) -> str:
    pids: list[int] = []
    try:
        pids.extend(_fork() for _ in range(_FORKS))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    return f"{_FORKS} processes at once"


def execute_a_program(position: Position) -> str:
    # The program speaks for itself: nothing of ours is left to do so.
    line = 'result {"name": "execute a program", "through": true, "what": "/bin/sh ran"}'
    os.execv("/bin/sh", ["sh", "-c", f"echo '{line}' >&2"])


def trace_the_toolstack(position: Position) -> str:
    pid = position.around.toolstack_pid
    _ptrace(_PTRACE_SEIZE, pid, 0, 0)
    return "seized"


def read_the_bystanders_memory(position: Position) -> str:
    here = ctypes.create_string_buffer(16)
    local = filled("<QQ", 16, ctypes.addressof(here), 16)
    remote = filled("<QQ", 16, position.around.bystander_address, 16)
    count = _process_vm_readv(position.around.bystander_pid, local, 1, remote, 1, 0)
    return f"{count} bytes"


def write_the_bystanders_memory(position: Position) -> str:
    here = ctypes.create_string_buffer(16)
    local = filled("<QQ", 16, ctypes.addressof(here), 16)
    remote = filled("<QQ", 16, position.around.bystander_address, 16)
    count = _process_vm_writev(position.around.bystander_pid, local, 1, remote, 1, 0)
    return f"{count} bytes"


def read_the_toolstacks_memory(position: Position) -> str:
    here = ctypes.create_string_buffer(8)
    local = filled("<QQ", 16, ctypes.addressof(here), 8)
    remote = filled("<QQ", 16, id(None), 8)  # one interpreter, perhaps at one address
    try:
        _process_vm_readv(position.around.toolstack_pid, local, 1, remote, 1, 0)
    except OSError as error:
        if error.errno != 14:  # EFAULT: it was let in, and nothing lies there
            raise
    return "let in"


def signal_the_toolstack(position: Position) -> str:
    os.kill(position.around.toolstack_pid, signal.SIGCONT)
    return "delivered"


def signal_a_bystander(position: Position) -> str:
    os.kill(position.around.bystander_pid, signal.SIGCONT)
    return "delivered"


def hold_a_bystander(position: Position) -> str:
    os.close(_pidfd_open(position.around.bystander_pid, 0))
    return "a pidfd"


def compare_with_a_bystander(position: Position) -> str:
    _kcmp(os.getpid(), position.around.bystander_pid, 1, 0, 0)  # KCMP_VM
    return "compared"


def change_the_toolstacks_limits(position: Position) -> str:
    pid = position.around.toolstack_pid
    resource.prlimit(pid, resource.RLIMIT_CORE, resource.prlimit(pid, resource.RLIMIT_CORE))
    return "set as they were"


def move_the_toolstack_to_a_cpu(position: Position) -> str:
    cpus = filled("<Q", 128, (1 << (os.cpu_count() or 1)) - 1)
    _sched_setaffinity(position.around.toolstack_pid, 128, cpus)
    return "set"


def see_other_processes(position: Position) -> str:
    if os.getppid() == 0:
        raise Stopped("parent is 0: first of its own namespace")
    return f"its parent is process {os.getppid()}"


def dump_core(position: Position) -> str:
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        raise Stopped("bound is 0")
    return "may"


def hog_memory(position: Position) -> str:
    mmap.mmap(-1, _HOG_BYTES, flags=mmap.MAP_PRIVATE | _MAP_NORESERVE).close()
    return "1 TiB of addresses"


def lock_memory(position: Position) -> str:
    page = mmap.mmap(-1, 4096)
    here = ctypes.c_char.from_buffer(page)
    try:
        _mlock(ctypes.addressof(here), 4096)
    finally:
        del here
        page.close()
    return "locked"


_mlock = call("mlock", 149, 228)


def map_executable_memory(position: Position) -> str:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
    return "mapped"


def make_memory_executable(position: Position) -> str:
    page = mmap.mmap(-1, 4096)
    here = ctypes.c_char.from_buffer(page)
    try:
        _mprotect(ctypes.addressof(here), 4096, mmap.PROT_READ | mmap.PROT_EXEC)
    finally:
        del here
        page.close()
    return "changed"


def handle_page_faults(position: Position) -> str:
    os.close(_userfaultfd(1))
    return "a userfaultfd"


ATTEMPTS = (
    Attempt("fork", Promise.RESOURCES, Layer.SECCOMP, fork),
    Attempt("fork bomb", Promise.RESOURCES, Layer.SECCOMP, fork_bomb),
    Attempt("execute a program", Promise.PROCESSES, Layer.SECCOMP, execute_a_program, alone=True),
    Attempt(
        "trace the toolstack", Promise.PROCESSES, Layer.SECCOMP, trace_the_toolstack, alone=True
    ),
    Attempt(
        "read the toolstack's memory",
        Promise.PROCESSES,
        Layer.SECCOMP,
        read_the_toolstacks_memory,
    ),
    Attempt(
        "read a bystander's memory", Promise.PROCESSES, Layer.SECCOMP, read_the_bystanders_memory
    ),
    Attempt(
        "write a bystander's memory",
        Promise.PROCESSES,
        Layer.SECCOMP,
        write_the_bystanders_memory,
    ),
    Attempt("signal the toolstack", Promise.PROCESSES, Layer.SECCOMP, signal_the_toolstack),
    Attempt("signal a bystander", Promise.PROCESSES, Layer.SECCOMP, signal_a_bystander),
    Attempt("hold a bystander (pidfd)", Promise.PROCESSES, Layer.SECCOMP, hold_a_bystander),
    Attempt(
        "compare itself with a bystander",
        Promise.PROCESSES,
        Layer.SECCOMP,
        compare_with_a_bystander,
    ),
    Attempt(
        "change the toolstack's limits",
        Promise.PROCESSES,
        Layer.SECCOMP,
        change_the_toolstacks_limits,
    ),
    Attempt(
        "bind the toolstack to a CPU",
        Promise.PROCESSES,
        Layer.SECCOMP,
        move_the_toolstack_to_a_cpu,
    ),
    Attempt("see other processes", Promise.PROCESSES, Layer.PID_NAMESPACE, see_other_processes),
    Attempt("leave a core file", Promise.RESOURCES, Layer.RLIMITS, dump_core),
    Attempt("hog memory", Promise.RESOURCES, Layer.RLIMITS, hog_memory),
    Attempt("lock memory", Promise.RESOURCES, Layer.SECCOMP, lock_memory),
    Attempt("map executable memory", Promise.KERNEL, Layer.SECCOMP, map_executable_memory),
    Attempt("make memory executable", Promise.KERNEL, Layer.SECCOMP, make_memory_executable),
    Attempt("handle page faults", Promise.KERNEL, Layer.SECCOMP, handle_page_faults),
)
