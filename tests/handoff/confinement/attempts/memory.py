"""Attempts on guest RAM, shared memory and what memory may be used for."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os

from tests.handoff.confinement.attempts.registry import Attempt, attempt, numbered

_MAP_NORESERVE = 0x4000


@attempt
def map_executable_memory() -> Attempt:
    return lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()


@attempt
def make_memory_executable() -> Attempt:
    protect = numbered("mprotect", 10, 226)
    page = ctypes.c_char.from_buffer(mmap.mmap(-1, 4096))
    return lambda: protect(ctypes.addressof(page), 4096, mmap.PROT_READ | mmap.PROT_EXEC)


@attempt
def make_a_memfd() -> Attempt:
    return lambda: os.close(os.memfd_create("more"))


@attempt
def grow_guest_ram() -> Attempt:
    fd = os.memfd_create("ram")
    return lambda: os.ftruncate(fd, 8192)


@attempt
def allocate_beyond_guest_ram() -> Attempt:
    fd = os.memfd_create("ram")
    return lambda: os.posix_fallocate(fd, 0, 8192)


@attempt
def seal_guest_ram() -> Attempt:
    fd = os.memfd_create("ram", os.MFD_ALLOW_SEALING)
    return lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)


@attempt
def map_more_than_its_address_space() -> Attempt:
    return lambda: mmap.mmap(-1, 64 << 30, flags=mmap.MAP_PRIVATE | _MAP_NORESERVE).close()


@attempt
def attach_system_v_memory() -> Attempt:
    get, attach = numbered("shmget", 29, 194), numbered("shmat", 30, 196)
    control = numbered("shmctl", 31, 195)
    segment = get(0, 4096, 0o1600)  # IPC_PRIVATE, IPC_CREAT
    attach(segment, 0, 0)
    control(segment, 0, 0)  # IPC_RMID: gone with this process
    return lambda: attach(segment, 0, 0)
