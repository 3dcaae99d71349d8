"""Attempts to become someone else, to be somewhere else, and on the kernel's wider interfaces."""

from __future__ import annotations

import os

from handoff.confinement import Layer
from toolstack.isolation.attempt import Attempt, Stopped
from toolstack.isolation.attempts.calls import call, filled, text
from toolstack.isolation.position import Position
from toolstack.isolation.promises import Promise

_unshare = call("unshare", 272, 97)
_setns = call("setns", 308, 268)
_mount = call("mount", 165, 40)
_chroot = call("chroot", 161, 51)
_add_key = call("add_key", 248, 217)
_keyctl = call("keyctl", 250, 219)
_bpf = call("bpf", 321, 280)
_perf_event_open = call("perf_event_open", 298, 241)
_personality = call("personality", 135, 92)
_shmat = call("shmat", 30, 196)
_shmdt = call("shmdt", 67, 197)
_mq_open = call("mq_open", 240, 180)
_mq_unlink = call("mq_unlink", 241, 181)
_syslog = call("syslog", 103, 116)
_prctl = call("prctl", 157, 167)
_setresuid = call("setresuid", 117, 147)

_NEWUSER, _NEWNS = 0x1000_0000, 0x0002_0000
_MS_REC, _MS_PRIVATE = 1 << 14, 1 << 18
_THREAD_KEYRING, _SESSION_KEYRING = -1, -3
_GET_KEYRING_ID = 0
_READ_IMPLIES_EXEC = 0x040_0000
_SYSLOG_SIZE = 10
_GET_PDEATHSIG, _GET_DUMPABLE, _SET_DUMPABLE = 2, 3, 4


def become_root(position: Position) -> str:
    _setresuid(0, 0, 0)
    return "uid 0"


def use_capabilities(position: Position) -> str:
    _chroot(text("/"))
    return "chroot to where it is"


def be_traceable(position: Position) -> str:
    if _prctl(_GET_DUMPABLE, 0, 0, 0, 0) != 1:
        raise Stopped("not dumpable")
    return "its own user may trace it"


def outlive_the_toolstack(position: Position) -> str:
    # Nothing else can be tried here: the one who looks at the result would be gone.
    number = filled("<i", 4, 0)
    _prctl(_GET_PDEATHSIG, number, 0, 0, 0)
    if number.raw != bytes(4):
        raise Stopped("SIGKILL then")
    return "nothing would end it"


def make_itself_traceable(position: Position) -> str:
    _prctl(_SET_DUMPABLE, 1, 0, 0, 0)
    return "dumpable"


def make_a_user_namespace(position: Position) -> str:
    _unshare(_NEWUSER)
    return "every capability inside"


def mount_a_file_system(position: Position) -> str:
    _unshare(_NEWNS)
    _mount(text("none"), text("/"), None, _MS_REC | _MS_PRIVATE, None)
    _mount(text("none"), text("/proc"), text("tmpfs"), 0, None)
    return "over /proc, in a namespace of its own"


def join_the_toolstacks_network(position: Position) -> str:
    namespace = os.open(f"/proc/{position.around.toolstack_pid}/ns/net", os.O_RDONLY)
    try:
        _setns(namespace, 0x4000_0000)
    finally:
        os.close(namespace)
    return "joined"


def _same(position: Position, kind: str) -> str:
    if os.readlink(f"/proc/{position.around.toolstack_pid}/ns/{kind}") != os.readlink(
        f"/proc/self/ns/{kind}"
    ):
        raise Stopped(f"another {kind} namespace")
    return "the same"


def share_the_hosts_name(position: Position) -> str:
    return _same(position, "uts")


def share_the_hosts_cgroups(position: Position) -> str:
    return _same(position, "cgroup")


def add_a_key(position: Position) -> str:
    _add_key(text("user"), text("isolation"), text("x"), 1, _THREAD_KEYRING)
    return "in a keyring of its own"


def find_the_sessions_keyring(position: Position) -> str:
    return f"keyring {_keyctl(_GET_KEYRING_ID, _SESSION_KEYRING, 0, 0, 0):#x}"


def attach_shared_memory(position: Position) -> str:
    _shmdt(_shmat(position.around.shared_memory, 0, 0))
    return "attached"


def open_a_message_queue(position: Position) -> str:
    name = f"isolation-{os.getpid()}"
    fd = _mq_open(text(name), os.O_CREAT | os.O_RDWR, 0o600, None)
    os.close(fd)
    _mq_unlink(text(name))
    return "made and removed"


def make_a_bpf_map(position: Position) -> str:
    os.close(_bpf(0, filled("<5I", 128, 2, 4, 8, 1, 0), 128))
    return "a map"


def count_events(position: Position) -> str:
    attribute = filled("<IIQQQQ", 112, 1, 112, 0, 0, 0, 0)  # software, cpu clock
    os.close(_perf_event_open(attribute, 0, -1, -1, 0))
    return "a perf descriptor"


def allow_execution_of_data(position: Position) -> str:
    _personality(_READ_IMPLIES_EXEC)
    return "set"


def read_the_kernels_log(position: Position) -> str:
    return f"a buffer of {_syslog(_SYSLOG_SIZE, None, 0)} bytes"


ATTEMPTS = (
    Attempt("become root", Promise.PRIVILEGES, Layer.SECCOMP, become_root, alone=True),
    Attempt("use a capability (chroot)", Promise.PRIVILEGES, Layer.SECCOMP, use_capabilities),
    Attempt("be traceable by its own user", Promise.PRIVILEGES, Layer.NO_DUMP, be_traceable),
    Attempt("outlive the toolstack", Promise.RESOURCES, Layer.PARENT_DEATH, outlive_the_toolstack),
    Attempt("make itself traceable", Promise.PRIVILEGES, Layer.SECCOMP, make_itself_traceable),
    Attempt(
        "make a user namespace",
        Promise.PRIVILEGES,
        Layer.SECCOMP,
        make_a_user_namespace,
        alone=True,
    ),
    Attempt(
        "mount a file system", Promise.PRIVILEGES, Layer.SECCOMP, mount_a_file_system, alone=True
    ),
    Attempt(
        "join the toolstack's network",
        Promise.NETWORK,
        Layer.SECCOMP,
        join_the_toolstacks_network,
        alone=True,
    ),
    Attempt("share the host's UTS namespace", Promise.KERNEL, Layer.SECCOMP, share_the_hosts_name),
    Attempt(
        "share the host's cgroup namespace",
        Promise.KERNEL,
        Layer.SECCOMP,
        share_the_hosts_cgroups,
    ),
    Attempt("add a key", Promise.KERNEL, Layer.SECCOMP, add_a_key),
    Attempt("find the session's keyring", Promise.KERNEL, Layer.SECCOMP, find_the_sessions_keyring),
    Attempt("attach shared memory", Promise.KERNEL, Layer.SECCOMP, attach_shared_memory),
    Attempt("open a message queue", Promise.KERNEL, Layer.SECCOMP, open_a_message_queue),
    Attempt("make a bpf map", Promise.KERNEL, Layer.SECCOMP, make_a_bpf_map),
    Attempt("count events (perf)", Promise.KERNEL, Layer.SECCOMP, count_events),
    Attempt(
        "let data be executed",
        Promise.KERNEL,
        Layer.SECCOMP,
        allow_execution_of_data,
        alone=True,
    ),
    Attempt("read the kernel's log", Promise.KERNEL, Layer.SECCOMP, read_the_kernels_log),
)
