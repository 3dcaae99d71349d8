"""Kernels that are started directly: what a bzImage would unpack itself is unpacked here."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from devicemodel.images.compression import Format, format_of, unpack
from devicemodel.images.setup_header import HEAD_BYTES, read_setup_header
from tests.devicemodel.images.elves import bzimage
from tests.devicemodel.images.packing import payload
from tests.e2e.toolstack_runs import left_behind, toolstack, write_config

LINE = "console=ttyS0 quiet token="


def elf_of(bzimage: bytes) -> bytes:
    """The ELF in a distribution's kernel."""
    start = read_setup_header(bzimage[:HEAD_BYTES], len(bzimage)).setup_bytes
    offset, length = (int.from_bytes(bzimage[at : at + 4], "little") for at in (0x248, 0x24C))
    packed = memoryview(bzimage)[start + offset : start + offset + length]
    format = format_of(packed[:8])
    assert format is not None
    return bytes(unpack(packed[:-4], format, int.from_bytes(packed[-4:], "little")))


@pytest.fixture(scope="module")
def vmlinux(debian: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("kernels") / "vmlinux"
    path.write_bytes(elf_of(debian["vmlinuz"].read_bytes()))
    return path


def reaches_user_space(
    kernel: Path, ramdisk: Path, runtime: Path, folder: Path, *way: str
) -> list[dict[str, object]]:
    """Boots it and looks for a token in its own words; the placements."""
    token = secrets.token_hex(8)
    config = write_config(
        folder / "guest.cfg", kernel=kernel, ramdisk=ramdisk, cmdline=LINE + token
    )
    run = toolstack(runtime, "create", str(config), "--machine", "qemu", "--json", *way)
    assert run.status == 0, run.errors
    assert f"CMDLINE: {LINE}{token}\n" in run.console
    assert "user space: reached, powering off" in run.console
    assert left_behind(runtime, run.pid) == []
    (placed,) = run.events("placed")
    entries: list[dict[str, object]] = placed["placements"]
    return entries


@pytest.mark.parametrize(
    "way",
    [(), ("--native",), ("--platform", "qemu-pc")],
    ids=lambda way: way[-1].strip("-") if way else "handoff",
)
def test_a_debian_kernel_reaches_user_space_by_its_note(
    way: tuple[str, ...], debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    entries = reaches_user_space(
        debian["vmlinuz"], debian["initrd.img"], runtime, tmp_path, "--boot", "pvh", *way
    )
    starts = [entry["start"] for entry in entries if entry["name"] == "kernel"]
    assert starts[0] == 0x1000000
    assert all(entry["when"] == "now" for entry in entries if entry["name"] == "kernel")


def test_the_elf_itself_is_started_without_being_told_how(
    vmlinux: Path, debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    reaches_user_space(vmlinux, debian["initrd.img"], runtime, tmp_path)


@pytest.mark.parametrize("format", [Format.ZSTD, Format.LZO], ids=lambda format: format.value)
def test_a_kernel_packed_otherwise_reaches_user_space(
    format: Format, vmlinux: Path, debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    kernel = tmp_path / "bzImage"
    kernel.write_bytes(bzimage(payload(vmlinux.read_bytes(), format), init_size=64 << 20))
    reaches_user_space(kernel, debian["initrd.img"], runtime, tmp_path, "--boot", "pvh")
