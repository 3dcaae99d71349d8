"""What the BIOS extension does to guest RAM, on a PC with real SeaBIOS."""

from __future__ import annotations

import random

from devicemodel.bios_extension.block import (
    DEFAULT_BLOCK_GPA,
    MAX_STEPS,
    SCRATCH,
    Copy,
    Step,
    Zero,
)
from devicemodel.bios_extension.block_codec import encode
from handoff.addresses import Gpa
from tests.devicemodel.bios_extension.bench import (
    RESULT,
    STAGING,
    Bench,
    at,
    protected_block,
    real_mode_block,
)
from tests.devicemodel.bios_extension.seabios import (
    POISON,
    RAM_BYTES,
)


def test_the_rom_touches_nothing_but_its_scratch_and_what_the_block_names(bench: Bench) -> None:
    block, payload = protected_block(bench)
    ram = bench.boot(block, {STAGING: payload}).ram
    # Below: vectors, BIOS data, the firmware's stack, and scratch. Above 32 MiB: firmware.
    assert ram[SCRATCH.end : 0x90000].strip(b"\0") == b""  # as SeaBIOS leaves it
    expected = bytearray(POISON * (RAM_BYTES // 2 - 0x100000))
    for start, data in (
        (0x100000, payload),
        (int(DEFAULT_BLOCK_GPA), encode(block)),
        (STAGING, payload),
        (RESULT, ram[RESULT : RESULT + 0x54]),
    ):
        expected[start - 0x100000 : start - 0x100000 + len(data)] = data
    assert ram[0x100000 : RAM_BYTES // 2] == expected


def test_steps_are_done_in_order_as_memmove_and_memset_would(bench: Bench) -> None:
    """252 steps over a playground, most of them overlapping, against a model of it."""
    rng = random.Random(20)
    start, size = 0x800000, 0x60000
    model = bytearray(rng.randbytes(size))
    before = bytes(model)
    steps: list[Step] = []
    special = [
        (0, 1, 0x50001),  # more than 64 KiB, by one byte upwards, then downwards
        (1, 0, 0x50001),
        (0, 3, 0x20002),
        (3, 0, 0x20002),
        (0x1000, 0x1000, 0x2000),  # onto itself
        (0, 0x30000, 0x30000),  # touching, not overlapping
    ]
    while len(steps) < MAX_STEPS - 1:
        length = rng.choice((1, 2, 3, 4, 5, 7, 8, 0x3FF, 0x1234, 0x20001))
        source = rng.randrange(size - length)
        spread = rng.choice((1, 2, 3, 4, 5, length // 2 + 1, size))
        low, high = max(0, source - spread), min(size - length, source + spread)
        to = rng.randint(low, high)
        if special:
            source, to, length = special.pop(0)
        if rng.random() < 0.1:
            steps.append(Zero(at(start + to, length)))
            model[to : to + length] = bytes(length)
        else:
            steps.append(Copy(at(start + source, length), Gpa(start + to)))
            model[to : to + length] = bytes(model[source : source + length])
    block, payload = protected_block(bench, *steps)
    ram = bench.boot(block, {STAGING: payload, start: before}).ram
    assert ram[start : start + size] == model
    assert ram[start - 0x1000 : start] == POISON * 0x1000
    assert ram[start + size : start + size + 0x1000] == POISON * 0x1000


def test_low_memory_that_firmware_zeroes_and_one_mebibyte_are_reached(bench: Bench) -> None:
    rng = random.Random(3)
    setup, line, kernel = rng.randbytes(0x8000), rng.randbytes(4096), rng.randbytes(0x73456)
    steps: list[Step] = [
        Copy(at(0x800000, len(line)), Gpa(0x20000)),
        Copy(at(0x810000, len(setup)), Gpa(0x90000)),
        Copy(at(0x900000, len(kernel)), Gpa(0x100000)),
        Zero(at(0x100000 + len(kernel), 0x1001)),
        Copy(at(0x800000, 0x10), Gpa(SCRATCH.end)),
    ]
    block, staged = real_mode_block(bench, *steps)
    images = {0x800000: line, 0x810000: setup, 0x900000: kernel}
    ram = bench.boot(block, staged | images).ram
    assert ram[0x20000:0x21000] == line
    assert ram[0x90000:0x98000] == setup
    assert ram[0x100000 : 0x100000 + len(kernel)] == kernel
    end = 0x100000 + len(kernel)
    assert ram[end : end + 0x1002] == bytes(0x1001) + POISON
    assert ram[SCRATCH.end : SCRATCH.end + 0x11] == line[:0x10] + b"\0"


def test_a_step_may_overwrite_the_place_the_block_was_read_from(bench: Bench) -> None:
    steps = [Zero(at(int(DEFAULT_BLOCK_GPA), 0x1000))]
    block, staged = real_mode_block(bench, *steps)
    ram = bench.boot(block, staged).ram
    assert ram[DEFAULT_BLOCK_GPA : DEFAULT_BLOCK_GPA + 0x1001] == bytes(0x1000) + POISON
