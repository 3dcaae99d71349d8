"""The installed filter refuses or kills, and sees through the other tables of system calls."""

from __future__ import annotations

import os
import signal

import pytest

from tests.handoff.confinement.trials import run_python

SCRIPT = """
import ctypes, mmap, os
from handoff.confinement import *
prepared = prepare(mode=Mode.AUTO, keep_fds=(0, 1, 2))
{set_up}
{attempt}
report = confine(prepared, Profile.DEVICE_MODEL, violation=Violation.{violation})
print("confined" if report.outcome(Layer.SECCOMP).state is State.APPLIED else "open", flush=True)
try:
    {attempt}
except OSError as error:
    print(error.errno)
"""

# mov eax, 20 (getpid of the 32-bit table); int 0x80; ret
INT_80 = """
code = mmap.mmap(-1, 4096, prot=7)
code.write(bytes.fromhex("b814000000 cd80 c3"))
getpid_32 = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))
"""


def run(attempt: str, *, violation: str = "REFUSE", set_up: str = "") -> tuple[int, list[str]]:
    done = run_python(["-c", SCRIPT.format(attempt=attempt, violation=violation, set_up=set_up)])
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    if lines and lines[0] == "open":
        pytest.skip("no seccomp on this kernel")
    return done.returncode, lines


def test_a_violation_is_refused() -> None:
    assert run("os.memfd_create('x')") == (0, ["confined", "1"])


def test_or_it_kills_where_that_was_chosen() -> None:
    assert run("os.memfd_create('x')", violation="KILL") == (-signal.SIGSYS, ["confined"])


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x86 instructions")
def test_a_32_bit_call_kills() -> None:
    status, lines = run("assert getpid_32() != 0", set_up=INT_80)
    assert (status, lines) == (-signal.SIGSYS, ["confined"])
