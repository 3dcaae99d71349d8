"""Attempts to become someone else, or to be somewhere else."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os

from tests.handoff.confinement.attempts.registry import Attempt, attempt, numbered, packed


@attempt
def become_root() -> Attempt:
    return lambda: os.setresuid(0, 0, 0)


@attempt
def mount_a_file_system() -> Attempt:
    mount = numbered("mount", 165, 40)
    unshare = numbered("unshare", 272, 97)
    none, kind = (ctypes.create_string_buffer(text) for text in (b"none", b"tmpfs"))
    root, at = (ctypes.create_string_buffer(text) for text in (b"/", b"/proc"))

    def try_mount() -> None:
        unshare(0x20000)
        mount(none, root, None, 1 << 18 | 1 << 14, None)  # private: stays in this namespace
        mount(none, at, kind, 0, None)

    return try_mount


@attempt
def make_a_user_namespace() -> Attempt:
    unshare = numbered("unshare", 272, 97)
    return lambda: unshare(0x1000_0000)


@attempt
def add_a_key() -> Attempt:
    add = numbered("add_key", 248, 217)
    kind, name = (ctypes.create_string_buffer(text) for text in (b"user", b"attempt"))
    return lambda: add(kind, name, name, 4, -1)  # KEY_SPEC_THREAD_KEYRING


@attempt
def make_a_bpf_map() -> Attempt:
    bpf = numbered("bpf", 321, 280)
    attribute = packed("<5I", 128, 2, 4, 8, 1, 0)
    return lambda: os.close(bpf(0, attribute, 128))


@attempt
def count_events() -> Attempt:
    perf = numbered("perf_event_open", 298, 241)
    attribute = packed("<IIQQQQ", 112, 1, 112, 0, 0, 0, 0)  # software, cpu clock
    return lambda: os.close(perf(attribute, 0, -1, -1, 0))


@attempt
def handle_page_faults() -> Attempt:
    fault = numbered("userfaultfd", 323, 282)
    return lambda: os.close(fault(1))


@attempt
def allow_execution_of_data() -> Attempt:
    personality = numbered("personality", 135, 92)
    return lambda: personality(0x040_0000)  # READ_IMPLIES_EXEC


@attempt
def push_input_into_the_terminal() -> Attempt:
    terminal = os.openpty()[1]
    fcntl.ioctl(terminal, 0x540E, 0)  # TIOCSCTTY: ours, as the trial leads a session
    return lambda: fcntl.ioctl(terminal, 0x5413, b"\0" * 8) and fcntl.ioctl(terminal, 0x5412, b"x")


def _same_namespace(kind: str) -> Attempt:
    path = f"/proc/self/ns/{kind}"
    outside = os.readlink(path)

    def compare() -> None:
        if os.readlink(path) != outside:
            raise OSError(errno.EXDEV, f"another {kind} namespace")

    return compare


@attempt
def share_the_uts_namespace() -> Attempt:
    return _same_namespace("uts")


@attempt
def share_the_cgroup_namespace() -> Attempt:
    return _same_namespace("cgroup")


@attempt
def gain_root_by_exec() -> Attempt:
    """Runs a set-uid `cat` on a file that only root may read; the environment says where."""
    program, secret = os.environ.get("SETUID_CAT", ""), os.environ.get("SECRET", "")

    def run() -> None:
        if os.spawnv(os.P_WAIT, program, [program, secret]) != 0:
            raise OSError(errno.EPERM, "exec granted nothing")

    return run
