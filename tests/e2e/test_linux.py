"""A Debian kernel reaches user space with our initrd and command line, each way round."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.e2e.toolstack_runs import left_behind, toolstack, write_config


@pytest.mark.parametrize(
    "way",
    [
        ("--carrier", "xenstore"),
        ("--carrier", "memory"),
        ("--carrier", "cmdline"),
        ("--native",),
    ],
    ids=lambda way: way[-1].strip("-"),
)
def test_user_space_prints_the_command_line_it_was_given(
    way: tuple[str, ...], debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    token = secrets.token_hex(8)
    config = write_config(
        tmp_path / "guest.cfg",
        kernel=debian["vmlinuz"],
        ramdisk=debian["initrd.img"],
        cmdline=f"console=ttyS0 quiet nokaslr token={token}",
    )

    run = toolstack(runtime, "create", str(config), "--machine", "qemu", *way)

    assert run.status == 0, run.errors
    assert f"CMDLINE: console=ttyS0 quiet nokaslr token={token}\n" in run.console
    assert "user space: reached, powering off" in run.console
    assert left_behind(runtime, run.pid) == []


def test_a_kernel_that_cannot_be_relocated_is_brought_to_1_mib_by_the_bios_extension(
    debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    config = write_config(
        tmp_path / "guest.cfg",
        memory=128,
        kernel=debian["memtest86+x64.bin"],
        cmdline="console=ttyS0,115200",
    )

    # memtest86+ runs until somebody stops it.
    run = toolstack(runtime, "create", str(config), "--machine", "qemu", "--timeout", "8", "--json")

    assert run.status == 21, run.errors
    assert "Memtest86+" in run.console
    (placed,) = run.events("placed")
    by_time = {(entry["name"], entry["when"]): entry["start"] for entry in placed["placements"]}
    assert by_time["kernel", "bev"] == 0x100000
    assert by_time["kernel", "now"] >= 0x200000
    assert left_behind(runtime, run.pid) == []
