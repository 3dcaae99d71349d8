"""Each layer bites by itself, and all together let nothing through."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from handoff.confinement import Layer, Profile
from tests.handoff.confinement.attempts import ATTEMPTS
from tests.handoff.confinement.trials import USER, Trial, run_python, run_trial

IS_ROOT = os.getuid() == 0
NEEDS_ROOT = "needs to start as root"

# What each attempt meets with every layer on. All but a few end at the filter.
REFUSALS = {
    **dict.fromkeys(ATTEMPTS, errno.EPERM),
    "use_a_leaked_descriptor": errno.EBADF,
    "open_descriptors_without_end": errno.EMFILE,
    "map_more_than_its_address_space": errno.ENOMEM,
}
# Needs a program made for it; its own test is below.
ALL_ATTEMPTS = tuple(name for name in ATTEMPTS if name != "gain_root_by_exec")
# Threads are what the emulator's profile adds.
LEFT_TO = {
    Profile.DEVICE_MODEL: (),
    Profile.XEN_DEVICE_MODEL: (),
    Profile.EMULATOR: ("start_a_thread",),
}

ROOT_ONLY = frozenset({"become_root", "mount_a_file_system", "make_a_bpf_map"})


def run_everything(profile: Profile, uid: int | None) -> Trial:
    names = [name for name in ALL_ATTEMPTS if not (uid or not IS_ROOT) or name not in ROOT_ONLY]
    return run_trial(names, Layer, profile=profile, uid=uid, address_space_bytes=16 << 30)


@pytest.fixture(scope="module", params=list(Profile), ids=lambda profile: profile.name)
def confined(request: pytest.FixtureRequest) -> tuple[Profile, Trial]:
    return request.param, run_everything(request.param, uid=None)


def _require(trial: Trial, name: str) -> None:
    """An attempt that fails in freedom proves nothing about confinement."""
    if name not in trial.before:
        pytest.skip(NEEDS_ROOT)
    if trial.before[name] != 0:
        pytest.skip(f"fails unconfined: {errno.errorcode[trial.before[name]]}")


@pytest.mark.parametrize("name", ALL_ATTEMPTS)
def test_what_worked_before_is_refused_with_every_layer_on(
    confined: tuple[Profile, Trial], name: str
) -> None:
    profile, trial = confined
    _require(trial, name)
    expected = 0 if name in LEFT_TO[profile] else REFUSALS[name]
    if trial.states["SECCOMP"] != "APPLIED":  # another layer's errno, if any
        assert trial.details["SECCOMP"]
        return
    assert trial.after[name] == expected


def test_an_ordinary_user_confines_itself_as_well() -> None:
    trial = run_everything(Profile.DEVICE_MODEL, uid=USER)
    got_through = [name for name, number in trial.after.items() if number == 0]
    assert got_through == [] or trial.states["SECCOMP"] != "APPLIED"
    assert trial.states["IDENTITY"] == "APPLIED"


# Root needs no user namespace to leave the others.
LEAVING = () if IS_ROOT else (Layer.USER_NAMESPACE,)

# layer, layers it needs beside it, attempt, errno, whether an ordinary user makes the attempt
ALONE = [
    (Layer.DESCRIPTORS, (), "use_a_leaked_descriptor", errno.EBADF, False),
    (Layer.IDENTITY, (Layer.CAPABILITIES,), "become_root", errno.EPERM, False),
    (Layer.USER_NAMESPACE, (), "become_root", errno.EINVAL, False),
    (Layer.MOUNT_NAMESPACE, LEAVING, "open_a_file", errno.ENOENT, False),
    (Layer.MOUNT_NAMESPACE, LEAVING, "connect_to_a_socket_file", errno.ENOENT, False),
    (Layer.MOUNT_NAMESPACE, LEAVING, "execute_a_program", errno.ENOENT, False),
    (Layer.MOUNT_NAMESPACE, LEAVING, "create_a_file", errno.ENOENT, False),
    (Layer.IPC_NAMESPACE, LEAVING, "attach_system_v_memory", errno.EINVAL, False),
    (Layer.NET_NAMESPACE, LEAVING, "reach_the_loopback_network", errno.ENETUNREACH, False),
    (Layer.UTS_NAMESPACE, LEAVING, "share_the_uts_namespace", errno.EXDEV, False),
    (Layer.CGROUP_NAMESPACE, LEAVING, "share_the_cgroup_namespace", errno.EXDEV, False),
    (Layer.CAPABILITIES, (), "mount_a_file_system", errno.EPERM, False),
    (Layer.CAPABILITIES, (), "ptrace_its_parent", errno.EPERM, False),
    (Layer.RLIMITS, (), "open_descriptors_without_end", errno.EMFILE, False),
    (Layer.RLIMITS, (), "map_more_than_its_address_space", errno.ENOMEM, False),
    (Layer.RLIMITS, (), "fork", errno.EAGAIN, True),
    (Layer.NO_DUMP, (), "read_its_own_memory_through_proc", errno.EACCES, True),
    (Layer.LANDLOCK_FILES, (Layer.NO_NEW_PRIVS,), "open_a_file", errno.EACCES, False),
    (Layer.LANDLOCK_FILES, (Layer.NO_NEW_PRIVS,), "list_a_directory", errno.EACCES, False),
    (Layer.LANDLOCK_FILES, (Layer.NO_NEW_PRIVS,), "create_a_file", errno.EACCES, False),
    (Layer.LANDLOCK_FILES, (Layer.NO_NEW_PRIVS,), "execute_a_program", errno.EACCES, False),
    (Layer.LANDLOCK_TCP, (Layer.NO_NEW_PRIVS,), "connect_over_tcp", errno.EACCES, False),
    (Layer.LANDLOCK_TCP, (Layer.NO_NEW_PRIVS,), "bind_a_tcp_port", errno.EACCES, False),
    (
        *(Layer.LANDLOCK_SCOPES, (Layer.NO_NEW_PRIVS,)),
        *("connect_to_an_abstract_socket", errno.EPERM, False),
    ),
    (Layer.LANDLOCK_SCOPES, (Layer.NO_NEW_PRIVS,), "signal_its_parent", errno.EPERM, False),
    *(
        (Layer.SECCOMP, (Layer.NO_NEW_PRIVS,), name, errno.EPERM, False)
        for name in ("open_an_io_uring", "fork", "map_executable_memory", "add_a_key")
    ),
]


@pytest.mark.parametrize(
    ("layer", "beside", "name", "number", "as_user"),
    ALONE,
    ids=[f"{layer.name}-{name}" for layer, _, name, _, _ in ALONE],
)
def test_each_layer_alone_stops_what_it_is_there_for(
    layer: Layer, beside: tuple[Layer, ...], name: str, number: int, as_user: bool
) -> None:
    trial = run_trial(
        [name],
        (layer, *beside),
        uid=USER if as_user else None,
        address_space_bytes=16 << 30,
    )
    if trial.states[layer.name] != "APPLIED":
        assert trial.details[layer.name]
        return
    _require(trial, name)
    assert trial.after[name] == number


@pytest.mark.skipif(not IS_ROOT, reason=NEEDS_ROOT)
def test_exec_grants_nothing_under_no_new_privs(tmp_path: Path) -> None:
    program, secret = tmp_path / "cat", tmp_path / "secret"
    shutil.copy("/bin/cat", program)
    program.chmod(0o4755)
    secret.touch(mode=0o600)
    for directory in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        directory.chmod(0o755)
    trial = run_trial(
        ["gain_root_by_exec"],
        [Layer.NO_NEW_PRIVS],
        uid=USER,
        environment={"SETUID_CAT": str(program), "SECRET": str(secret)},
    )
    _require(trial, "gain_root_by_exec")
    assert trial.after["gain_root_by_exec"] == errno.EPERM


def test_without_any_layer_everything_still_works() -> None:
    trial = run_trial(["open_a_file", "fork", "map_executable_memory"], ())
    assert trial.before == trial.after == dict.fromkeys(trial.after, 0)
    assert set(trial.states.values()) == {"OFF"}


RUN = """
import sys, threading
from handoff.confinement import *
{before}
prepared = prepare(mode=Mode.{mode}, keep_fds=(0, 1, 2), without={without})
try:
    report = confine(prepared, Profile.DEVICE_MODEL)
except ConfinementError as error:
    print(error)
    sys.exit(9)
print(*report.lines(), sep="\\n")
sys.exit(0 if report.complete else 3)
"""


SECOND_THREAD = "threading.Thread(target=threading.Event().wait, daemon=True).start()"


def run(mode: str, *, before: str = "", without: str = "()") -> tuple[int, list[str]]:
    done = run_python(["-c", RUN.format(mode=mode, before=before, without=without)])
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


# Makes one call fail for the rest of the process, as an older kernel or a container does.
FAIL = """
import ctypes, os
from handoff.confinement.bpf import Instruction, RET_ALLOW, encode, ret_errno
from handoff.confinement.libc import prctl
program = [
    Instruction(0x20, 0),
    Instruction(0x15, {number}, 0, 1),
    Instruction(0x06, ret_errno({errno})),
    Instruction(0x06, RET_ALLOW),
]
code = ctypes.create_string_buffer(encode(program))
class Header(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))
header = Header(len(program), ctypes.addressof(code))
prctl("PR_SET_NO_NEW_PRIVS", 38, 1)
prctl("PR_SET_SECCOMP", 22, 2, ctypes.addressof(header))
"""
X86_64 = os.uname().machine == "x86_64"
NO_UNSHARE = FAIL.format(number=272 if X86_64 else 97, errno=errno.EPERM)
NO_LANDLOCK = FAIL.format(number=444, errno=errno.ENOSYS)
NO_SECCOMP = FAIL.format(number=317 if X86_64 else 277, errno=errno.EINVAL)
NO_CLOSE_RANGE = FAIL.format(number=436, errno=errno.ENOSYS)


@pytest.mark.parametrize(
    ("missing", "line"),
    [
        (NO_UNSHARE, "user namespace    unavailable unshare(CLONE_NEWUSER): EPERM"),
        (NO_LANDLOCK, "landlock files    unavailable this kernel has no Landlock (Linux 5.13)"),
        (NO_SECCOMP, "seccomp           unavailable seccomp: EINVAL"),
        (NO_CLOSE_RANGE, "descriptors       unavailable close_range: ENOSYS"),
    ],
    ids=["unshare", "landlock", "seccomp", "close_range"],
)
def test_auto_goes_on_and_says_what_is_missing_and_why(missing: str, line: str) -> None:
    status, lines = run("AUTO", before=missing)
    assert status == 3
    assert line in lines
    assert any(line.startswith("rlimits           applied") for line in lines)


def test_strict_refuses_when_a_layer_is_missing_and_says_which() -> None:
    status, lines = run("STRICT", before=NO_LANDLOCK)
    assert status == 9
    assert "landlock files: this kernel has no Landlock (Linux 5.13); " in lines[0]
    assert lines[0].startswith("sandbox strict: ")
    assert lines[0].endswith("`--sandbox auto` runs with what there is")


def test_off_leaves_every_layer_off() -> None:
    status, lines = run("OFF", before=SECOND_THREAD)
    assert status == 0
    assert all(line.split()[-1] == "off" for line in lines)


def test_a_layer_taken_away_is_reported_as_such() -> None:
    _, lines = run("AUTO", without="(Layer.SECCOMP,)")
    assert lines[-1] == "seccomp           off         taken away"


def test_a_second_thread_is_refused_as_it_would_stay_free() -> None:
    status, lines = run("AUTO", before=SECOND_THREAD)
    assert (status, lines) == (
        9,
        ["the process has 2 threads: confine it before it starts a second one"],
    )
