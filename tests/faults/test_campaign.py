"""A slice of the fault campaign, and that its eyes see what they look for."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from handoff.addresses import Gpa
from handoff.guest_ram import MemfdRam, create_ram_file, regions_for
from handoff.platforms import Platform, low_ram_limit
from tests.faults.guests import COMMAND_LINE, MEMORY_MIB, Guest, write_guest, wrong_in_ram
from tests.faults.rig import nothing, rig
from tests.faults.run import ROOT, Seen, run_toolstack
from tests.faults.steps import RequestStep
from tests.faults.tabulate import markdown
from tests.faults.trial import Kind, Moment, all_cells, trial

SLICE = 6
LIMIT_S = 600


def campaign(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.faults", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_a_slice_of_the_campaign_finds_nothing() -> None:
    run = campaign("--count", str(SLICE), "--seed", "5")
    assert run.returncode == 0, run.stdout + run.stderr
    assert "wrong boot: 0, hang: 0, leak: 0" in run.stdout


def test_what_once_went_wrong_does_not_any_more() -> None:
    run = campaign("--finds")
    assert run.returncode == 0, run.stdout + run.stderr


async def test_a_boot_without_faults_takes_every_step_that_faults_are_aimed_at() -> None:
    taken: set[tuple[RequestStep, Moment]] = set()

    async def gate(step: RequestStep, moment: Moment) -> bool:
        taken.add((step, moment))
        return True

    async with rig() as bench:
        await bench.xenstored.start()
        bench.intercept.gate = gate
        seen = Seen()
        words = bench.create(Kind.KERNEL)
        await run_toolstack(words, bench.environment, seen, nothing)
        seen.close()
    assert taken == {(step, moment) for step in RequestStep for moment in Moment}


def test_every_cell_has_its_place_in_the_table() -> None:
    results = [
        {
            "injected": True,
            "step": str(cell.place),
            "fault": cell.fault_text,
            "outcome": "booted by attempt 2",
        }
        for cell in all_cells()
    ]
    told = "\n".join(markdown(results))
    counts = [int(count) for count in re.findall(r"\b(\d+)r\b", told)]
    assert sum(counts) == len(results)


def test_a_seed_draws_every_cell_before_any_again() -> None:
    cells = all_cells()
    drawn = [trial(7, number).cell for number in range(len(cells))]
    assert sorted(map(repr, drawn)) == sorted(map(repr, cells))
    assert trial(7, 3) == trial(7, 3) != trial(8, 3)


PLACES = {
    "kernel": 0x200000,
    "ramdisk": 0x1000000,
    "command line": 0x300000,
    "BIOS extension": 0xC8000,
}


def _kernel_code(guest: Guest) -> bytes:
    kernel = guest.images["kernel"]
    return kernel[(kernel[0x1F1] + 1) * 512 :]


@pytest.fixture
def placed(tmp_path: Path) -> Callable[[str | None], tuple[str, ...]]:
    """What is wrong in a RAM where a bit of the named part was flipped; None: of no part."""
    guest = write_guest(tmp_path, "guest", Kind.KERNEL)
    rom = (ROOT / "devicemodel/bios_extension/rom.bin").read_bytes()
    whole = rom[:7] + bytes([(rom[7] - sum(rom)) % 256]) + rom[8:]
    parts = {
        "kernel": _kernel_code(guest),
        "ramdisk": guest.images["ramdisk"],
        "command line": COMMAND_LINE.encode() + b"\0",
        "BIOS extension": whole,
    }

    def look(damaged: str | None) -> tuple[str, ...]:
        size = MEMORY_MIB << 20
        fd = create_ram_file("look", size)
        ram = MemfdRam(fd, regions_for(size, low_ram_limit(Platform.QEMU_PC, size)))
        for name, data in parts.items():
            middle = len(data) // 2
            flip = bytes([data[middle] ^ 0x10])
            written = data[:middle] + flip + data[middle + 1 :] if name == damaged else data
            ram.write(Gpa(PLACES[name]), written)
        ram.close()
        report: dict[str, Any] = {
            "placements": [
                {"name": name, "start": PLACES[name], "size": len(data), "when": "now"}
                for name, data in parts.items()
            ]
        }
        try:
            return wrong_in_ram(guest, fd, report)
        finally:
            os.close(fd)

    return look


def test_ram_that_is_right_is_found_right(
    placed: Callable[[str | None], tuple[str, ...]],
) -> None:
    assert placed(None) == ()


@pytest.mark.parametrize("damaged", [None, "bios", "end"])
def test_one_wrong_bit_of_either_copy_of_a_bios_is_a_wrong_boot(
    damaged: str | None, tmp_path: Path
) -> None:
    guest = write_guest(tmp_path, "guest", Kind.FIRMWARE)
    bios = guest.images["bios"]
    low = len(bios) // 2
    parts = {"end": (Gpa((1 << 20) - low), bios[low:]), "bios": (Gpa(0x1FC0000), bios)}
    size = MEMORY_MIB << 20
    fd = create_ram_file("look", size)
    ram = MemfdRam(fd, regions_for(size, low_ram_limit(Platform.QEMU_PC, size)))
    for name, (start, data) in parts.items():
        flip = 0x10 if name == damaged else 0
        ram.write(start, bytes([data[0] ^ flip]) + data[1:])
    ram.close()
    report: dict[str, Any] = {
        "placements": [
            {"name": "bios", "start": start, "size": len(data), "when": "now"}
            for start, data in parts.values()
        ]
    }
    try:
        assert len(wrong_in_ram(guest, fd, report)) == (damaged is not None)
    finally:
        os.close(fd)


@pytest.mark.parametrize("part", sorted(PLACES))
def test_one_wrong_bit_is_a_wrong_boot(
    part: str, placed: Callable[[str | None], tuple[str, ...]]
) -> None:
    assert len(placed(part)) == 1
