"""A kernel that is started directly though nobody says how."""

from __future__ import annotations

import secrets
from pathlib import Path

from tests.e2e.matrix.images import elf_of
from tests.e2e.toolstack_runs import left_behind, toolstack, write_config


def test_the_elf_itself_is_started_without_being_told_how(
    debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    kernel = tmp_path / "vmlinux"
    kernel.write_bytes(elf_of(debian["vmlinuz"].read_bytes()))
    cmdline = f"console=ttyS0 quiet token={secrets.token_hex(8)}"
    config = write_config(
        tmp_path / "guest.cfg", kernel=kernel, ramdisk=debian["initrd.img"], cmdline=cmdline
    )

    run = toolstack(runtime, "create", str(config), "--machine", "qemu")

    assert run.status == 0, run.errors
    assert f"CMDLINE: {cmdline}\n" in run.console
    assert "user space: reached, powering off" in run.console
    assert left_behind(runtime, run.pid) == []
