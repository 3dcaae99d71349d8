"""The built-in guest tells what it was given, in either machine and by each way."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from tests.e2e.toolstack_runs import Run, left_behind, toolstack, write_config
from toolstack.builtin_guest import INITRD, LAST_LINE, initrd_path, kernel_path

WAYS = [("--load", "buffer"), ("--stubdom-xenstore", "ring")]
"""Carriers and platforms are the matrix's."""


@pytest.mark.parametrize("machine", ["emulator", "qemu"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way[-1].strip("-"))
def test_the_guest_gets_its_command_line_and_every_byte_of_its_initrd(
    machine: str, way: tuple[str, ...], tmp_path: Path, runtime: Path
) -> None:
    config = write_config(
        tmp_path / "guest.cfg",
        memory=64,
        kernel=kernel_path(),
        ramdisk=initrd_path(),
        cmdline="console=ttyS0 some=thing",
    )

    run = toolstack(runtime, "create", str(config), "--machine", machine, *way)

    _told(run, runtime, runs_at=0x200000, cmdline="console=ttyS0 some=thing")


def test_ram_above_4_gib_is_there_and_the_handoff_keeps_below(
    tmp_path: Path, runtime: Path
) -> None:
    config = write_config(
        tmp_path / "guest.cfg", memory=4608, kernel=kernel_path(), ramdisk=initrd_path()
    )

    run = toolstack(runtime, "create", str(config), "--machine", "qemu")

    _told(run, runtime, runs_at=0x200000, cmdline="")
    # QEMU's pc splits at 3 GiB: 1.5 GiB of 4.5 lie above.
    assert "[0x0000000100000000, 0x0000000160000000) RAM" in run.console


def test_a_guest_that_hangs_is_ended_and_its_last_line_shown(tmp_path: Path, runtime: Path) -> None:
    config = write_config(
        tmp_path / "guest.cfg", memory=64, kernel=kernel_path(), cmdline="guest=hang"
    )

    run = toolstack(runtime, "create", str(config), "--machine", "qemu", "--timeout", "2")

    assert run.status == 21, run.errors
    assert "has not ended after 2 s, it last printed 'builtin-guest: " in run.errors
    assert left_behind(runtime, run.pid) == []


@pytest.mark.parametrize("machine", ["emulator", "qemu"])
def test_a_guest_that_resets_the_machine_has_crashed(
    machine: str, tmp_path: Path, runtime: Path
) -> None:
    config = write_config(
        tmp_path / "guest.cfg", memory=64, kernel=kernel_path(), cmdline="guest=crash"
    )

    run = toolstack(runtime, "create", str(config), "--machine", machine)

    assert run.status == 22, run.errors
    assert LAST_LINE not in run.console
    assert left_behind(runtime, run.pid) == []


def test_the_console_goes_to_the_file_that_serial_names(tmp_path: Path, runtime: Path) -> None:
    log = tmp_path / "serial.log"
    config = write_config(
        tmp_path / "guest.cfg", memory=64, kernel=kernel_path(), serial=f"file:{log}"
    )

    run = toolstack(runtime, "create", str(config), "--machine", "emulator")

    assert run.status == 0, run.errors
    assert run.console == ""
    assert LAST_LINE in log.read_text()


def test_demo_shows_stages_both_maps_and_the_guests_own_words(runtime: Path) -> None:
    run = toolstack(runtime, "demo", "--machine", "emulator")

    assert run.status == 0, run.errors
    words = ["loaded", "published", "discovered", "verified", "placed", "moved", "inserted"]
    places = [run.errors.index(word) for word in (*words, "ready", "unpaused", "powered off")]
    assert places == sorted(places)
    assert "guest memory, as the toolstack leaves it" in run.errors
    assert "guest memory, as the device model leaves it" in run.errors
    assert "initrd text   | This text is the initrd." in run.console
    assert left_behind(runtime, run.pid) == []


def _told(run: Run, runtime: Path, *, runs_at: int, cmdline: str) -> None:
    assert run.status == 0, run.errors
    assert f"builtin-guest: runs at       {runs_at:#010x}\n" in run.console
    assert f"command line  0x00020000: {cmdline}\n" in run.console
    assert f"bytes {len(INITRD)}, CRC-32 {zlib.crc32(INITRD):#010x}" in run.console
    assert run.console.endswith(f"{LAST_LINE}\n")
    assert left_behind(runtime, run.pid) == []
