"""The images of the matrix, each with what is handed over beside it and how it is known to run."""

from __future__ import annotations

import secrets
import signal
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devicemodel.images.compression import Format, format_of, unpack
from devicemodel.images.setup_header import HEAD_BYTES, read_setup_header
from handoff.modules import ModuleFile
from tests.devicemodel.fw_cfg.witness import multiboot_kernel, pvh_kernel, words
from tests.devicemodel.images.elves import bzimage
from tests.devicemodel.images.linux.tiny_kernel import TinyKernel
from tests.devicemodel.images.packing import payload
from tests.e2e.toolstack_runs import Run
from toolstack import images
from toolstack.builtin_guest import (
    INITRD,
    LAST_LINE,
    initrd_path,
    kernel_path,
    nonrelocatable_kernel_path,
)
from toolstack.images import initrd
from toolstack.images.catalogue import BUSYBOX_I386, KERNEL_I386

Proof = Callable[[Run, str], str]
"""Asserts by the guest's own words, given the random token of its command line; what they show."""

XEN_LINE: Final = "com1=115200,8n1 console=com1 dom0_mem=256M smap=0 smep=0"
"""TCG of QEMU 7.2 has a PV kernel's iret fault where SMAP is on."""


@dataclass(frozen=True, slots=True)
class Bootable:
    """A kernel, and the guest it is started in."""

    kernel: Path
    memory_mib: int
    cmdline: str
    """a `TOKEN` in it, or in an argument below, is replaced for each run"""
    proof: Proof
    modules: tuple[ModuleFile, ...] = ()
    until: str = ""
    """words at which a guest is stopped that never ends; empty: it powers off"""

    def with_token(self, token: str) -> tuple[str, str | None]:
        """cmdline= and ramdisk= of a run."""
        named = [f"{m.path} {m.arguments}" if m.arguments else m.path for m in self.modules]
        ramdisk = ",".join(named).replace("TOKEN", token) if named else None
        return self.cmdline.replace("TOKEN", token), ramdisk


def new_token() -> str:
    return secrets.token_hex(8)


def _user_space(run: Run, token: str) -> str:
    (line,) = [line for line in run.console.splitlines() if line.startswith("CMDLINE: ")]
    assert f"token={token}" in line
    assert "user space: reached, powering off" in run.console
    return "its user space printed the command line it was given"


def _memtest(run: Run, token: str) -> str:
    assert "Memtest86+" in run.console
    assert run.status == 128 + signal.SIGTERM
    return "its own screen on the serial port"


def _xen(run: Run, token: str) -> str:
    assert "(XEN) Xen version 4.17" in run.console
    assert "(XEN) Bootloader: stubdom-direct-boot\n" in run.console
    assert f"(XEN) Command line: {XEN_LINE}\n" in run.console
    assert "(XEN)  Dom0 kernel: 64-bit" in run.console
    assert f"Command line: console=hvc0 earlyprintk=xen token={token}\n" in run.console
    return "banner, its command line, dom0 with its own command line and its initrd"


def _builtin(runs_at: int) -> Proof:
    def proof(run: Run, token: str) -> str:
        assert f"builtin-guest: runs at       {runs_at:#010x}\n" in run.console
        assert f"command line  0x00020000: some=thing token={token}\n" in run.console
        assert f"bytes {len(INITRD)}, CRC-32 {zlib.crc32(INITRD):#010x}" in run.console
        assert run.console.endswith(f"{LAST_LINE}\n")
        return f"runs at {runs_at:#x}, command line, CRC-32 of its initrd"

    return proof


def _tiny(starts: str) -> Proof:
    def proof(run: Run, token: str) -> str:
        said = run.console.lower()
        assert said.startswith(f"{starts}\n")
        assert f"line=token={token}\n" in said
        assert said.endswith("sane\n")
        return f"segments ({starts}), header fields and command line at its entry"

    return proof


def _witness_pvh(run: Run, token: str) -> str:
    lines = run.console.split("\n")
    info = words(lines[1])
    assert info[:2] == (0x336EC578, 1)
    assert info[3] == 1
    assert bytes.fromhex(lines[2]) == f"token={token}".encode()
    assert INITRD.hex() in lines
    return "hvm_start_info, command line and ramdisk by EBX, BSS"


def _witness_multiboot(run: Run, token: str) -> str:
    lines = run.console.split("\n")
    assert words(lines[0])[0] == 0x2BADB002
    assert bytes.fromhex(lines[2]) == f"witness-multiboot token={token}".encode()
    assert bytes.fromhex(lines[3]) == b"stubdom-direct-boot"
    assert INITRD.hex() in lines
    return "EAX, information structure, strings and module by EBX"


def _says_nothing(run: Run, token: str) -> str:
    raise AssertionError("it is not run")


def prepared(folder: Path) -> Mapping[str, Bootable]:
    """All images; `folder` takes those made here."""
    names = ("vmlinuz", "initrd.img", "memtest86+x64.bin", "memtest86+ia32.bin", "ipxe.lkrn")
    found = {
        image.name: image.path
        for image in images.ensure((*names, "xen.gz", KERNEL_I386, BUSYBOX_I386))
    }

    def made(name: str, content: bytes) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    disk, line = (ModuleFile(str(found["initrd.img"])),), "console=ttyS0 quiet nokaslr token=TOKEN"
    elf = _elf_of(found["vmlinuz"].read_bytes())
    disk_i386 = made("initrd-i386.img", initrd.build(found[BUSYBOX_I386].read_bytes()))
    text = (ModuleFile(str(initrd_path())),)
    serial, screen = "console=ttyS0,115200", "Memtest86+"
    dom0 = ModuleFile(str(found["vmlinuz"]), "console=hvc0 earlyprintk=xen token=TOKEN")

    def debian(kernel: Path, modules: tuple[ModuleFile, ...] = disk) -> Bootable:
        return Bootable(kernel, 512, line, _user_space, modules)

    def repacked(format: Format) -> Bootable:
        packed = bzimage(payload(elf, format), init_size=64 << 20)
        return debian(made(f"bzImage-{format.value}", packed))

    def tiny(name: str, kernel: TinyKernel, starts: str) -> Bootable:
        return Bootable(made(name, kernel.build()), 64, "token=TOKEN", _tiny(starts))

    def builtin(kernel: Path, runs_at: int) -> Bootable:
        return Bootable(kernel, 64, "some=thing token=TOKEN", _builtin(runs_at), text)

    def witness(name: str, content: bytes, proof: Proof) -> Bootable:
        return Bootable(made(name, content), 64, "token=TOKEN", proof, text)

    return {
        "vmlinuz": debian(found["vmlinuz"]),
        "vmlinux": debian(made("vmlinux", elf)),
        "bzImage-zstd": repacked(Format.ZSTD),
        "bzImage-lzo": repacked(Format.LZO),
        "vmlinuz-i386": debian(found[KERNEL_I386], (ModuleFile(str(disk_i386)),)),
        "memtest86+x64.bin": Bootable(
            found["memtest86+x64.bin"], 128, serial, _memtest, until=screen
        ),
        "memtest86+ia32.bin": Bootable(
            found["memtest86+ia32.bin"], 128, serial, _memtest, until=screen
        ),
        "ipxe.lkrn": Bootable(found["ipxe.lkrn"], 128, "", _says_nothing),
        "xen.gz": Bootable(
            found["xen.gz"], 768, XEN_LINE, _xen, (dom0, *disk), "Run /init as init process\n"
        ),
        "builtin": builtin(kernel_path(), 0x200000),
        "builtin-fixed": builtin(nonrelocatable_kernel_path(), 0x100000),
        "before 2.00": tiny("kernel-1.99", TinyKernel(0, high=False), "cs=9020"),
        "2.00": tiny("kernel-2.00", TinyKernel(0x200, high=True), "cs=9020"),
        "2.01 zImage": tiny(
            "zImage-2.01", TinyKernel(0x201, high=False, protected_bytes=0x80000), "cs=9020"
        ),
        "2.04": tiny("kernel-2.04", TinyKernel(0x204, high=True), "cs=1020"),
        "witness-pvh": witness("witness-pvh", pvh_kernel(), _witness_pvh),
        "witness-multiboot": witness("witness-multiboot", multiboot_kernel(), _witness_multiboot),
    }


def _elf_of(bzimage: bytes) -> bytes:
    """The ELF in a distribution's kernel."""
    start = read_setup_header(bzimage[:HEAD_BYTES], len(bzimage)).setup_bytes
    offset, length = (int.from_bytes(bzimage[at : at + 4], "little") for at in (0x248, 0x24C))
    packed = memoryview(bzimage)[start + offset : start + offset + length]
    format = format_of(packed[:8])
    assert format is not None
    return bytes(unpack(packed[:-4], format, int.from_bytes(packed[-4:], "little")))
