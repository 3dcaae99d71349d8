"""The filter decides as its rules say, as a simulated kernel reads the program."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.confinement.bpf import (
    RET_ALLOW,
    RET_KILL_PROCESS,
    Condition,
    Instruction,
    Rule,
    assemble,
    encode,
    ret_errno,
)
from handoff.confinement.profiles import Profile, rules
from handoff.confinement.syscalls import NUMBERS, Architecture

REFUSED = ret_errno(1)
INT = 0xFFFF_FFFF
LONG = 0xFFFF_FFFF_FFFF_FFFF
PID = 4242


def verdict(
    program: tuple[Instruction, ...], architecture: int, number: int, arguments: tuple[int, ...]
) -> int:
    """What the kernel's classic BPF machine returns for one call."""
    padded = (*arguments, 0, 0, 0, 0, 0, 0)[:6]
    data = struct.pack("<IIQ6Q", number, architecture, 0xDEAD_BEEF_0000, *padded)
    position = accumulator = 0
    while True:
        step = program[position]
        position += 1
        match step.code:
            case 0x20:
                assert step.k % 4 == 0
                (accumulator,) = struct.unpack_from("<I", data, step.k)
            case 0x54:
                accumulator &= step.k
            case 0x15:
                position += step.jump_true if accumulator == step.k else step.jump_false
            case 0x35:
                position += step.jump_true if accumulator >= step.k else step.jump_false
            case 0x06:
                return step.k
            case other:
                raise AssertionError(f"no such instruction: {other:#x}")


def decide(filter_rules: tuple[Rule, ...], syscall: str, *arguments: int, on: Architecture) -> int:
    number = NUMBERS[syscall].on(on)
    assert number is not None
    return verdict(assemble(filter_rules, on, REFUSED), on.value, number, arguments)


def test_the_program_has_the_kernels_form() -> None:
    program = assemble((Rule("read"),), Architecture.AARCH64, REFUSED)
    assert encode(program).hex(" ", 8) == (
        "2000000004000000 15000100b70000c0 0600000000000080 2000000000000000 "
        "3500000100000040 0600000000000080 "
        "150000023f000000 060000000000ff7f 0600000001000500 0600000001000500"
    )


@pytest.mark.parametrize("other", [0x4000_0003, 0xC000_00B7, 0])
def test_a_call_of_another_architecture_kills(other: int) -> None:
    program = assemble((Rule("read"),), Architecture.X86_64, REFUSED)
    assert verdict(program, other, 0, ()) == RET_KILL_PROCESS


def test_an_x32_call_kills() -> None:
    program = assemble((Rule("read"),), Architecture.X86_64, REFUSED)
    assert verdict(program, Architecture.X86_64.value, 0x4000_0000, ()) == RET_KILL_PROCESS


@given(
    mask=st.integers(1, LONG),
    value=st.integers(0, LONG),
    argument=st.integers(0, LONG),
    position=st.integers(0, 5),
)
def test_a_condition_compares_all_masked_bits(
    mask: int, value: int, argument: int, position: int
) -> None:
    wanted = value & mask
    rule = Rule("read", (Condition(position, mask, wanted),))
    arguments = (*(0,) * position, argument)
    expected = RET_ALLOW if argument & mask == wanted else REFUSED
    assert decide((rule,), "read", *arguments, on=Architecture.X86_64) == expected


@given(
    first=st.integers(0, 3), second=st.integers(0, 3), arguments=st.tuples(*[st.integers(0, 3)] * 2)
)
def test_conditions_of_a_rule_hold_together_and_rules_of_a_call_singly(
    first: int, second: int, arguments: tuple[int, int]
) -> None:
    both = Rule("write", (Condition(0, INT, first), Condition(1, LONG, second)))
    other = Rule("write", (Condition(0, INT, 3),), ret_errno(9))
    expected = (
        RET_ALLOW
        if arguments == (first, second)
        else ret_errno(9)
        if arguments[0] == 3
        else REFUSED
    )
    assert decide((both, other), "write", *arguments, on=Architecture.AARCH64) == expected


@pytest.mark.parametrize("architecture", list(Architecture))
@pytest.mark.parametrize("profile", list(Profile))
@given(number=st.integers(0, 0x3FFF_FFFF), arguments=st.tuples(*[st.integers(0, LONG)] * 6))
def test_no_number_outside_the_profile_is_let_through(
    profile: Profile, architecture: Architecture, number: int, arguments: tuple[int, ...]
) -> None:
    profile_rules = rules(profile, PID)
    listed = {NUMBERS[rule.syscall].on(architecture) for rule in profile_rules}
    program = assemble(profile_rules, architecture, REFUSED)
    result = verdict(program, architecture.value, number, arguments)
    assert number in listed or result == REFUSED
