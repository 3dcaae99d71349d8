"""Attempts on files, and on descriptors that stand for them."""

from __future__ import annotations

import fcntl
import os

from handoff.confinement import Layer
from toolstack.isolation.attempt import Attempt, Stopped
from toolstack.isolation.attempts.calls import call, filled, text
from toolstack.isolation.position import (
    LEAKED_DIRECTORY_FD,
    LEAKED_FILE_FD,
    Position,
)
from toolstack.isolation.promises import Promise

_HOARD = 500
_AT_FDCWD = -100

_io_uring_setup = call("io_uring_setup", 425)
_inotify_init1 = call("inotify_init1", 294, 26)
_memfd_create = call("memfd_create", 319, 279)
_open_tree = call("open_tree", 428)
_name_to_handle_at = call("name_to_handle_at", 303, 264)
_fanotify_init = call("fanotify_init", 300, 262)


def _read(path: str, position: Position) -> str:
    fd = os.open(path, os.O_RDONLY)
    try:
        found = os.read(fd, 100).decode("latin-1")
    finally:
        os.close(fd)
    return "read the secret" if position.around.secret in found else f"read {len(found)} bytes"


def open_a_file(position: Position) -> str:
    return _read(f"{position.around.scratch}/secret", position)


def list_a_directory(position: Position) -> str:
    return f"{len(os.listdir(position.around.scratch))} names"


def stat_a_path(position: Position) -> str:
    return f"{os.stat(f'{position.around.scratch}/secret').st_size} bytes"


def create_a_file(position: Position) -> str:
    path = f"{position.around.scratch}/created-{os.getpid()}"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
    os.unlink(path)
    return "created and removed"


def read_the_toolstacks_maps(position: Position) -> str:
    return _read(f"/proc/{position.around.toolstack_pid}/maps", position)


def reopen_guest_ram_through_proc(position: Position) -> str:
    os.close(os.open(f"/proc/self/fd/{position.ram_fd}", os.O_RDWR))
    return "a second descriptor, with its own rights"


def open_its_own_memory_through_proc(position: Position) -> str:
    os.close(os.open("/proc/self/mem", os.O_RDWR))
    return "could change its own code"


def use_an_inherited_file(position: Position) -> str:
    found = os.pread(LEAKED_FILE_FD, 100, 0).decode("latin-1")
    if position.around.secret not in found:
        raise Stopped("another file")
    return "read the secret"


def open_below_an_inherited_directory(position: Position) -> str:
    os.close(os.open("secret", os.O_RDONLY, dir_fd=LEAKED_DIRECTORY_FD))
    return "opened the secret"


def change_to_an_inherited_directory(position: Position) -> str:
    os.fchdir(LEAKED_DIRECTORY_FD)
    return "there"


def open_by_io_uring(position: Position) -> str:
    os.close(_io_uring_setup(4, filled("", 120)))
    return "a queue that opens files unseen by a filter"


def watch_a_path(position: Position) -> str:
    os.close(_inotify_init1(0))
    return "an inotify descriptor"


def watch_the_file_system(position: Position) -> str:
    os.close(_fanotify_init(0x200, os.O_RDONLY))  # FAN_REPORT_FID, for those without privilege
    return "a fanotify descriptor"


def make_a_memory_file(position: Position) -> str:
    os.close(_memfd_create(text("more"), 0))
    return "memory outside its limits"


def name_a_file_by_handle(position: Position) -> str:
    handle = filled("<Ii", 136, 128, 0)
    mount_id = filled("<i", 4, 0)
    path = text(f"{position.around.scratch}/secret")
    _name_to_handle_at(_AT_FDCWD, path, handle, mount_id, 0)
    return "a handle"


def take_a_tree_along(position: Position) -> str:
    os.close(_open_tree(_AT_FDCWD, text(position.around.scratch), 0))
    return "a descriptor of the directory"


def hoard_descriptors(position: Position) -> str:
    fds: list[int] = []
    try:
        fds.extend(fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 0) for _ in range(_HOARD))
    finally:
        for fd in fds:
            os.close(fd)
    return f"{_HOARD} descriptors"


ATTEMPTS = (
    Attempt("open a file", Promise.FILES, Layer.SECCOMP, open_a_file),
    Attempt("list a directory", Promise.FILES, Layer.SECCOMP, list_a_directory),
    Attempt("look at a path", Promise.FILES, Layer.SECCOMP, stat_a_path),
    Attempt("create a file", Promise.FILES, Layer.SECCOMP, create_a_file),
    Attempt(
        "read the toolstack's maps in /proc",
        Promise.PROCESSES,
        Layer.SECCOMP,
        read_the_toolstacks_maps,
    ),
    Attempt(
        "open guest RAM again through /proc",
        Promise.TARGET_RAM,
        Layer.SECCOMP,
        reopen_guest_ram_through_proc,
    ),
    Attempt(
        "open its own memory through /proc",
        Promise.KERNEL,
        Layer.SECCOMP,
        open_its_own_memory_through_proc,
    ),
    Attempt(
        "read an inherited file", Promise.DESCRIPTORS, Layer.DESCRIPTORS, use_an_inherited_file
    ),
    Attempt(
        "open below an inherited directory",
        Promise.DESCRIPTORS,
        Layer.SECCOMP,
        open_below_an_inherited_directory,
    ),
    Attempt(
        "change to an inherited directory",
        Promise.DESCRIPTORS,
        Layer.SECCOMP,
        change_to_an_inherited_directory,
        alone=True,
    ),
    Attempt("open files by io_uring", Promise.FILES, Layer.SECCOMP, open_by_io_uring),
    Attempt("watch a path (inotify)", Promise.FILES, Layer.SECCOMP, watch_a_path),
    Attempt("watch a file system (fanotify)", Promise.FILES, Layer.SECCOMP, watch_the_file_system),
    Attempt("name a file by handle", Promise.FILES, Layer.SECCOMP, name_a_file_by_handle),
    Attempt("take a tree along (open_tree)", Promise.FILES, Layer.SECCOMP, take_a_tree_along),
    Attempt("make a memory file", Promise.RESOURCES, Layer.SECCOMP, make_a_memory_file),
    Attempt("hoard descriptors", Promise.RESOURCES, Layer.RLIMITS, hoard_descriptors),
)
