"""The tables of numbers agree with the kernel's own headers."""

from __future__ import annotations

import re
import subprocess

import pytest

from handoff.confinement.syscalls import (
    CLOSE_RANGE,
    LANDLOCK_CREATE_RULESET,
    LANDLOCK_RESTRICT_SELF,
    NUMBERS,
    Architecture,
    running_architecture,
)

# The generic 64-bit table is aarch64's.
HEADERS = {
    "x86_64": ["-include", "asm/unistd_64.h"],
    "aarch64": [
        *("-D__BITS_PER_LONG=64", "-D__ARCH_WANT_NEW_STAT", "-D__ARCH_WANT_SYS_CLONE3"),
        *("-D__ARCH_WANT_SET_GET_RLIMIT", "-include", "asm-generic/unistd.h"),
    ],
}


def numbers_in_headers(machine: str) -> dict[str, int]:
    try:
        done = subprocess.run(
            ["cc", "-E", "-dM", *HEADERS[machine], "-x", "c", "/dev/null"],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"no compiler with the kernel's {machine} headers")
    defines = dict(re.findall(r"#define (__NR\w*) (\w+)", done.stdout))
    found = {}
    for define, value in defines.items():
        while value in defines:
            value = defines[value]
        if value.isdigit():
            found[define.removeprefix("__NR_")] = int(value)
    return found


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_number_is_the_headers_number(machine: str) -> None:
    headers = numbers_in_headers(machine)
    ours = {name: getattr(numbers, machine) for name, numbers in NUMBERS.items()}
    assert ours == {name: headers.get(name) for name in NUMBERS}
    assert headers["close_range"] == CLOSE_RANGE
    assert headers["landlock_create_ruleset"] == LANDLOCK_CREATE_RULESET
    assert headers["landlock_restrict_self"] == LANDLOCK_RESTRICT_SELF


@pytest.mark.parametrize("architecture", list(Architecture))
def test_no_two_calls_share_a_number(architecture: Architecture) -> None:
    numbers = [n.on(architecture) for n in NUMBERS.values() if n.on(architecture) is not None]
    assert len(set(numbers)) == len(numbers)


def test_this_machine_is_one_of_the_tables_or_named_as_none() -> None:
    assert running_architecture() in (*Architecture, None)
