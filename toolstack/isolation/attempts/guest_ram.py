"""Attempts on the memory of its own guest, and of another."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
from contextlib import suppress

from handoff.confinement import Layer
from toolstack.isolation.attempt import Attempt, Stopped
from toolstack.isolation.attempts.calls import call
from toolstack.isolation.position import LEAKED_RAM_FD, Position
from toolstack.isolation.promises import Beyond, Promise

_PAGE = 4096
_SECRET_AT = 0x1000

_ftruncate = call("ftruncate", 77, 46)
_fallocate = call("fallocate", 285, 47)
_pidfd_open = call("pidfd_open", 434)
_pidfd_getfd = call("pidfd_getfd", 438)
_mmap = call("mmap", 9, 222)


def shrink(position: Position) -> str:
    size = position.around.ram_bytes
    _ftruncate(position.ram_fd, size - _PAGE)
    _ftruncate(position.ram_fd, size)
    return "a page less"


def grow(position: Position) -> str:
    size = position.around.ram_bytes
    _ftruncate(position.ram_fd, size + _PAGE)
    _ftruncate(position.ram_fd, size)
    return "a page more"


def grow_by_writing(position: Position) -> str:
    size = position.around.ram_bytes
    os.pwrite(position.ram_fd, b"x", size)
    _ftruncate(position.ram_fd, size)
    return "a byte more"


def allocate_beyond(position: Position) -> str:
    size = position.around.ram_bytes
    _fallocate(position.ram_fd, 0, size, _PAGE)
    _ftruncate(position.ram_fd, size)
    return "a page more"


def seal(position: Position) -> str:
    # A write seal would take RAM from the machine; this one only bars further seals.
    fcntl.fcntl(position.ram_fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)
    return "sealed"


def touch_beyond_its_end(position: Position) -> str:
    size = position.around.ram_bytes
    with suppress(OSError):
        _ftruncate(position.ram_fd, size + _PAGE)
    at = _mmap(0, 2 * _PAGE, mmap.PROT_READ, mmap.MAP_SHARED, position.ram_fd, size - _PAGE)
    ctypes.string_at(at + _PAGE, 1)
    _ftruncate(position.ram_fd, size)
    return "read"


def _stolen(fd: int, position: Position) -> str:
    found = os.pread(fd, 64, _SECRET_AT).decode("latin-1")
    if position.around.secret not in found:
        raise Stopped("other memory")
    return "read the secret"


def open_anothers_through_proc(position: Position) -> str:
    around = position.around
    fd = os.open(f"/proc/{around.toolstack_pid}/fd/{around.bystander_ram_fd}", os.O_RDWR)
    try:
        return _stolen(fd, position)
    finally:
        os.close(fd)


def take_anothers_descriptor(position: Position) -> str:
    around = position.around
    toolstack = _pidfd_open(around.toolstack_pid, 0)
    try:
        fd = _pidfd_getfd(toolstack, around.bystander_ram_fd, 0)
    finally:
        os.close(toolstack)
    try:
        return _stolen(fd, position)
    finally:
        os.close(fd)


def map_anothers_inherited(position: Position) -> str:
    with mmap.mmap(LEAKED_RAM_FD, 2 * _PAGE) as ram:
        found = ram[_SECRET_AT : _SECRET_AT + 64]
    if position.around.secret.encode() not in found:
        raise Stopped("other memory")
    return "read the secret"


def write_its_own(position: Position) -> str:
    os.pwrite(position.ram_fd, b"its target's", _SECRET_AT)
    return "written"


ATTEMPTS = (
    Attempt("shrink guest RAM", Promise.TARGET_RAM, Layer.SECCOMP, shrink),
    Attempt("grow guest RAM", Promise.TARGET_RAM, Layer.SECCOMP, grow),
    Attempt("write behind its end", Promise.TARGET_RAM, Beyond.SEALS, grow_by_writing),
    Attempt("allocate behind its end", Promise.TARGET_RAM, Layer.SECCOMP, allocate_beyond),
    Attempt("seal guest RAM", Promise.TARGET_RAM, Layer.SECCOMP, seal),
    Attempt(
        "map and read behind its end",
        Promise.TARGET_RAM,
        Beyond.END_OF_RAM,
        touch_beyond_its_end,
        alone=True,
    ),
    Attempt(
        "open another guest's RAM in /proc",
        Promise.OTHER_RAM,
        Layer.SECCOMP,
        open_anothers_through_proc,
    ),
    Attempt(
        "take another guest's RAM (pidfd)",
        Promise.OTHER_RAM,
        Layer.SECCOMP,
        take_anothers_descriptor,
    ),
    Attempt(
        "map another guest's RAM, inherited",
        Promise.OTHER_RAM,
        Layer.DESCRIPTORS,
        map_anothers_inherited,
    ),
    Attempt("write its target's RAM", Promise.TARGET, None, write_its_own),
)
