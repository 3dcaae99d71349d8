"""A device model that dies in mid-move ends in a retry or an error, never in damaged bytes."""

from __future__ import annotations

import secrets
import sys
from pathlib import Path

import pytest

from tests.e2e.boot_disk import boot_disk
from tests.e2e.boot_disk import guest as firmware_guest
from tests.e2e.toolstack_runs import left_behind, toolstack, write_config

DYING = Path(__file__).with_name("dying_device_model.py")


@pytest.fixture
def config(debian: dict[str, Path], tmp_path: Path) -> Path:
    return write_config(
        tmp_path / "guest.cfg",
        kernel=debian["vmlinuz"],
        ramdisk=debian["initrd.img"],
        cmdline="console=ttyS0 quiet nokaslr",
    )


def _program(tmp_path: Path, times: int) -> tuple[str, str]:
    return "--device-model", f"{sys.executable} {DYING} {times} {tmp_path / 'died'}"


def test_a_new_stub_domain_reloads_what_was_damaged_and_the_guest_boots(
    config: Path, tmp_path: Path, runtime: Path
) -> None:
    run = toolstack(runtime, "create", str(config), "--machine", "qemu", *_program(tmp_path, 1))

    assert run.status == 0, run.errors
    assert (tmp_path / "died").read_text() == "x"
    assert "attempt 1 failed" in run.errors
    assert "killed by SIGSEGV" in run.errors
    assert "user space: reached, powering off" in run.console
    assert left_behind(runtime, run.pid) == []


def test_firmware_that_was_half_there_is_whole_when_it_boots_the_disk(
    tmp_path: Path, runtime: Path
) -> None:
    token = secrets.token_hex(8)
    disk = boot_disk(tmp_path, "disk.img", token)
    config = firmware_guest(tmp_path, [f"{disk},raw,hda,w"])

    run = toolstack(runtime, "create", str(config), "--machine", "qemu", *_program(tmp_path, 1))

    assert run.status == 0, run.errors
    assert "attempt 1 failed" in run.errors
    # SeaBIOS may have sent the end of its line or not when the boot sector writes to the port.
    assert "Booting from Hard Disk.." in run.console
    assert f"{token}\n" in run.console
    assert left_behind(runtime, run.pid) == []


def test_a_bios_that_was_half_moved_is_loaded_again_and_moved_behind_hvmloader(
    tmp_path: Path, runtime: Path
) -> None:
    config = write_config(tmp_path / "guest.cfg", memory=128)
    way = ("--machine", "none", "--platform", "xen-hvm", "--timeout", "0.1", "--verbose")

    run = toolstack(runtime, "create", str(config), *way, *_program(tmp_path, 1))

    assert "killed by SIGSEGV" in run.errors
    assert "move bios: " in run.errors
    assert run.errors.count("unpaused") == 1, run.errors
    assert left_behind(runtime, run.pid) == []


def test_when_every_try_dies_nothing_boots_and_the_error_says_why(
    config: Path, tmp_path: Path, runtime: Path
) -> None:
    run = toolstack(
        runtime, "create", str(config), "--machine", "qemu", "--tries", "2", *_program(tmp_path, 9)
    )

    assert run.status == 17, run.errors
    assert (tmp_path / "died").read_text() == "xx"
    assert run.console == ""
    assert "unpaused" not in run.errors
    assert run.errors.splitlines()[-1].startswith("toolstack: error: the device model ended")
    assert left_behind(runtime, run.pid) == []
