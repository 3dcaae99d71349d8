"""Seccomp filters as classic BPF: allow-list rules in, the kernel's program bytes out. No I/O.

Source: Linux Documentation/userspace-api/seccomp_filter.rst and include/uapi/linux/seccomp.h.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from handoff.confinement.syscalls import NUMBERS, X32_SYSCALL_BIT, Architecture

__all__ = [
    "RET_ALLOW",
    "RET_KILL_PROCESS",
    "Condition",
    "Instruction",
    "Rule",
    "assemble",
    "encode",
    "ret_errno",
]

RET_KILL_PROCESS = 0x8000_0000
RET_ALLOW = 0x7FFF_0000
_RET_ERRNO = 0x0005_0000

# Opcodes of classic BPF, the five that a filter needs. Source: include/uapi/linux/bpf_common.h.
LD_W_ABS = 0x20
ALU_AND_K = 0x54
JMP_JEQ_K = 0x15
JMP_JGE_K = 0x35
RET_K = 0x06

# struct seccomp_data: nr, arch, instruction pointer, six arguments; both machines little-endian.
_OFFSET_NR = 0
_OFFSET_ARCH = 4
_OFFSET_ARGUMENTS = 16
_ARGUMENT_SIZE = 8
ARGUMENTS = 6

MAX_INSTRUCTIONS = 4096  # BPF_MAXINSNS
_MAX_JUMP = 255
_U32 = 0xFFFF_FFFF
_U64 = 0xFFFF_FFFF_FFFF_FFFF


def ret_errno(number: int) -> int:
    """The filter result that refuses a call with errno `number`."""
    assert 0 < number < 4096, number
    return _RET_ERRNO | number


class Instruction(NamedTuple):
    """One `struct sock_filter`; jump distances count from the next instruction."""

    code: int
    k: int
    jump_true: int = 0
    jump_false: int = 0


@dataclass(frozen=True, slots=True)
class Condition:
    """Argument number `argument`, masked, equals `value`; all 64 bits wide.

    An argument that the kernel takes as int has only its low half compared: mask 0xffffffff.
    A pointer is compared but never followed: what it points to can change after the check.
    """

    argument: int
    mask: int
    value: int

    def __post_init__(self) -> None:
        assert 0 <= self.argument < ARGUMENTS
        assert 0 < self.mask <= _U64
        assert self.value & ~self.mask == 0


@dataclass(frozen=True, slots=True)
class Rule:
    """`syscall` gets `result` when all `conditions` hold; the first rule of a call that holds wins.

    result: a seccomp return value.
    """

    syscall: str
    conditions: tuple[Condition, ...] = ()
    result: int = RET_ALLOW


def _compare(condition: Condition) -> Iterator[tuple[Instruction, ...]]:
    """One load-mask-compare step for each half that the mask touches; false jumps are still 0."""
    for half in (0, 1):
        mask = condition.mask >> (32 * half) & _U32
        if mask == 0:
            continue
        offset = _OFFSET_ARGUMENTS + _ARGUMENT_SIZE * condition.argument + 4 * half
        keep = () if mask == _U32 else (Instruction(ALU_AND_K, mask),)
        value = condition.value >> (32 * half) & _U32
        yield (Instruction(LD_W_ABS, offset), *keep, Instruction(JMP_JEQ_K, value))


def _alternative(rule: Rule) -> tuple[Instruction, ...]:
    """`rule`'s tests and its return; a test that fails jumps just behind the return."""
    steps = [
        instruction
        for condition in rule.conditions
        for step in _compare(condition)
        for instruction in step
    ]
    length = len(steps) + 1
    tests = (
        Instruction(JMP_JEQ_K, step.k, 0, length - position - 1) if step.code == JMP_JEQ_K else step
        for position, step in enumerate(steps)
    )
    return (*tests, Instruction(RET_K, rule.result))


def assemble(
    rules: Iterable[Rule], architecture: Architecture, refusal: int
) -> tuple[Instruction, ...]:
    """The filter that gives `refusal` to every call that no rule lets through.

    A call through another table of numbers (32-bit, x32) kills the process: no program of ours
    makes one, and its number would name a different call. Calls that `architecture` does not
    have are left out.
    """
    groups: dict[int, list[Instruction]] = {}
    for rule in rules:
        number = NUMBERS[rule.syscall].on(architecture)
        if number is not None:
            groups.setdefault(number, []).extend(_alternative(rule))
    program = [
        Instruction(LD_W_ABS, _OFFSET_ARCH),
        Instruction(JMP_JEQ_K, architecture.value, 1, 0),
        Instruction(RET_K, RET_KILL_PROCESS),
        Instruction(LD_W_ABS, _OFFSET_NR),
        Instruction(JMP_JGE_K, X32_SYSCALL_BIT, 0, 1),
        Instruction(RET_K, RET_KILL_PROCESS),
    ]
    for number, alternatives in groups.items():
        block = (*alternatives, Instruction(RET_K, refusal))
        program.append(Instruction(JMP_JEQ_K, number, 0, len(block)))
        program.extend(block)
    program.append(Instruction(RET_K, refusal))
    assert len(program) <= MAX_INSTRUCTIONS
    assert all(max(step.jump_true, step.jump_false) <= _MAX_JUMP for step in program)
    return tuple(program)


def encode(program: Iterable[Instruction]) -> bytes:
    """`program` as an array of `struct sock_filter`."""
    return b"".join(
        struct.pack("<HBBI", step.code, step.jump_true, step.jump_false, step.k) for step in program
    )
