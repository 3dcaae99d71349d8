"""Real kernels in guests of every size, and told what the matrix tells them not."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import pytest

from tests.e2e.matrix.images import LINUX_LINE
from tests.e2e.toolstack_runs import Run, left_behind, toolstack, write_config
from toolstack import images
from toolstack.images import initrd
from toolstack.images.catalogue import BUSYBOX_I386, KERNEL_I386

LARGE_RAMDISK_BYTES = 300 << 20


@pytest.fixture(scope="module")
def i386(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Debian's kernel for i386, and an initrd of that architecture."""
    kernel, busybox = images.ensure((KERNEL_I386, BUSYBOX_I386))
    ramdisk = tmp_path_factory.mktemp("i386") / "initrd.img"
    ramdisk.write_bytes(initrd.build(busybox.path.read_bytes()))
    return {"kernel": kernel.path, "ramdisk": ramdisk}


@pytest.mark.parametrize(
    "how",
    [
        ("--entry", "32", "--subarch", "xen"),
        ("--entry", "real", "--subarch", "xen"),
    ],
    ids=" ".join,
)
def test_debians_kernel_reaches_user_space_told_that_it_is_on_xen(
    how: tuple[str, ...], debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    cmdline = f"{LINUX_LINE} token={secrets.token_hex(8)}"
    config = write_config(
        tmp_path / "guest.cfg",
        kernel=debian["vmlinuz"],
        ramdisk=debian["initrd.img"],
        cmdline=cmdline,
    )

    run = toolstack(runtime, "create", str(config), "--machine", "qemu", *how)

    assert run.status == 0, run.errors
    assert f"CMDLINE: {cmdline}\n" in run.console
    assert "user space: reached, powering off" in run.console
    assert left_behind(runtime, run.pid) == []


def test_an_i386_kernel_has_no_64_bit_entry(
    i386: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    config = write_config(tmp_path / "guest.cfg", **i386)

    run = toolstack(runtime, "create", str(config), "--machine", "qemu", "--entry", "64")

    assert run.status == 10
    assert "entry 64: this kernel has no 64-bit entry, bit 0 of its setup_header.xl" in run.errors


def test_8_gib_and_a_ramdisk_of_300_mib(
    debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    """The kernel passes over zeros behind an initrd, so that a hole makes one of any size."""
    ramdisk = tmp_path / "initrd.img"
    ramdisk.write_bytes(debian["initrd.img"].read_bytes())
    os.truncate(ramdisk, LARGE_RAMDISK_BYTES)
    config = write_config(
        tmp_path / "guest.cfg",
        memory=8192,
        kernel=debian["vmlinuz"],
        ramdisk=ramdisk,
        cmdline=LINUX_LINE,
    )

    run = toolstack(runtime, "create", str(config), "--machine", "qemu", "--json")

    assert run.status == 0, run.errors
    (placed,) = run.events("placed")
    (disk,) = [entry for entry in placed["placements"] if entry["name"] == "ramdisk"]
    # This kernel takes its ramdisk anywhere below 4 GiB; QEMU's low RAM ends at 3 GiB.
    assert disk["size"] == LARGE_RAMDISK_BYTES
    assert disk["start"] + disk["size"] == (3 << 30) - (32 << 20)
    (memory,) = [line for line in run.console.splitlines() if line.startswith("memory: ")]
    assert int(memory.split()[1]) > 7 * 1024 * 1024
    assert "user space: reached, powering off" in run.console


def test_the_least_guest_that_a_refusal_names_boots(
    debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    def run(memory: int) -> Run:
        config = write_config(
            tmp_path / "guest.cfg",
            memory=memory,
            kernel=debian["vmlinuz"],
            ramdisk=debian["initrd.img"],
            cmdline=LINUX_LINE,
        )
        return toolstack(runtime, "create", str(config), "--machine", "qemu", "--entry", "64")

    refused = run(64)
    assert refused.status == 13
    assert "kernel (init_size 0x" in refused.errors
    asked = re.search(r"at least (\d+) MiB more", refused.errors)
    assert asked is not None
    least = 64 + int(asked[1])
    assert run(least - 1).status == 13
    booted = run(least)
    assert booted.status == 0, booted.errors
    assert "user space: reached, powering off" in booted.console


def test_a_module_behind_the_ramdisk_is_not_for_linux(
    debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    config = write_config(
        tmp_path / "guest.cfg",
        kernel=debian["vmlinuz"],
        ramdisk=f"{debian['initrd.img']},{debian['initrd.img']}",
    )
    run = toolstack(runtime, "create", str(config), "--machine", "none", "--timeout", "5")
    assert run.status == 10
    assert "ramdisk names 2 images, Linux takes one" in run.errors
