"""A guest without a kernel boots by firmware that was handed over, from a disk."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tests.e2e.boot_disk import boot_disk, guest
from tests.e2e.toolstack_runs import Run, left_behind, toolstack, write_config

SEABIOS = Path("/usr/share/seabios/bios-256k.bin")


def run(runtime: Path, config: Path, *arguments: str) -> Run:
    done = toolstack(runtime, "create", str(config), *arguments)
    assert left_behind(runtime, done.pid) == []
    return done


def test_the_bios_that_was_handed_over_is_the_one_that_runs(tmp_path: Path, runtime: Path) -> None:
    greeting = b"SeaBIOS (version "
    token = secrets.token_hex(len(greeting))[: len(greeting)]
    original = SEABIOS.read_bytes()
    assert greeting in original
    bios = tmp_path / "bios.bin"
    bios.write_bytes(original.replace(greeting, token.encode()))
    disk = boot_disk(tmp_path, "disk.img", "booted")
    config = guest(tmp_path, [f"{disk},raw,xvda,w"], bios="seabios", bios_path_override=bios)
    done = run(runtime, config, "--machine", "qemu")
    assert done.status == 0, done.errors
    assert token in done.console
    assert greeting.decode() not in done.console
    assert "booted\n" in done.console


@pytest.mark.parametrize(("order", "first"), [("cd", "one"), ("dc", "two")])
def test_the_boot_order_is_the_configurations(
    order: str, first: str, tmp_path: Path, runtime: Path
) -> None:
    one, two = boot_disk(tmp_path, "one.img", "one"), boot_disk(tmp_path, "two.img", "two")
    iso = el_torito(tmp_path / "two.iso", two.read_bytes()[:512])
    config = guest(tmp_path, [f"{one},raw,hda,w", f"{iso},raw,hdc:cdrom,r"], boot=order)
    done = run(runtime, config, "--machine", "qemu")
    assert done.status == 0, done.errors
    assert f"{first}\n" in done.console


def el_torito(path: Path, sector: bytes) -> Path:
    """A CD that boots `sector` without emulation. Source: El Torito 1.0."""
    block = 2048
    image = bytearray(24 * block)
    image[16 * block : 16 * block + 7] = b"\x01CD001\x01"
    record = b"\x00CD001\x01EL TORITO SPECIFICATION".ljust(0x47, b"\0")
    image[17 * block : 17 * block + 0x4B] = record + (19).to_bytes(4, "little")
    image[18 * block : 18 * block + 7] = b"\xffCD001\x01"
    validation = bytearray(b"\x01".ljust(32, b"\0"))
    validation[30:32] = b"\x55\xaa"
    total = sum(int.from_bytes(validation[at : at + 2], "little") for at in range(0, 32, 2))
    validation[28:30] = (-total & 0xFFFF).to_bytes(2, "little")
    entry = b"\x88\x00" + bytes(4) + (1).to_bytes(2, "little") + (20).to_bytes(4, "little")
    image[19 * block : 19 * block + 64] = bytes(validation) + entry.ljust(32, b"\0")
    image[20 * block : 20 * block + 512] = sector
    path.write_bytes(image)
    return path


def test_without_kernel_and_disk_firmware_says_that_it_finds_nothing(
    tmp_path: Path, runtime: Path
) -> None:
    config = write_config(tmp_path / "g.cfg", memory=128)
    done = run(runtime, config, "--machine", "qemu")
    assert "No bootable device." in done.console
    assert done.status == 22
    assert "warning: neither a kernel nor a disk" in done.errors
    assert "found nothing to boot" in done.errors


@pytest.mark.parametrize(
    ("settings", "arguments", "text"),
    [
        ({}, ("--boot", "pvh"), 'no kernel is named: add kernel="PATH"'),
        ({"kernel": "/boot/k"}, ("--boot", "firmware"), "remove kernel=, or --boot"),
        ({}, ("--platform", "xen-hvm", "--machine", "qemu"), "take --platform qemu-pc"),
        ({}, ("--entry", "32"), "--entry is for a kernel"),
        ({"bios": "seabios", "bios_path_override": "/none/bios.bin"}, (), "bios /none/bios.bin: "),
        ({"bios": "rombios"}, (), "not supported by qemu-xen"),
    ],
)
def test_what_cannot_be_is_refused_with_the_remedy(
    settings: dict[str, str],
    arguments: tuple[str, ...],
    text: str,
    tmp_path: Path,
    runtime: Path,
) -> None:
    config = write_config(tmp_path / "g.cfg", memory=128, **settings)
    done = run(runtime, config, *arguments)
    assert done.status != 0
    assert text in done.errors
    assert done.console == ""
    assert "Traceback" not in done.errors
