"""The images of the matrix, each with what is handed over beside it and how it is known to run."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from devicemodel.images.compression import Format, format_of, unpack
from devicemodel.images.setup_header import HEAD_BYTES, read_setup_header
from handoff.modules import ModuleFile
from tests.devicemodel.fw_cfg.witness import multiboot_kernel, pvh_kernel
from tests.devicemodel.images.elves import bzimage
from tests.devicemodel.images.linux.tiny_kernel import TinyKernel
from tests.devicemodel.images.packing import payload
from tests.e2e.matrix.proofs import (
    Proof,
    builtin,
    ipxe,
    memtest,
    tiny,
    user_space,
    user_space_of_i386,
    witness_multiboot,
    witness_pvh,
    xen_and_dom0,
)
from toolstack import images
from toolstack.builtin_guest import initrd_path, kernel_path, nonrelocatable_kernel_path
from toolstack.images import initrd
from toolstack.images.catalogue import BUSYBOX_I386, KERNEL_FULL, KERNEL_I386

LINUX_LINE: Final = "console=ttyS0 quiet nokaslr no_timer_check"
"""Without the last word Linux panics where the host is so loaded that QEMU's timer ticks late:
"IO-APIC + timer doesn't work"."""
XEN_LINE: Final = "com1=115200,8n1 console=com1 dom0_mem=256M smap=0"
"""With SMAP, in TCG of QEMU 7.2, dom0 crashes before its first line: Xen faults on dom0's stack in
create_bounce_frame. Started by QEMU's own loader the same Xen ends the same way; with smap=0, or
on a CPU without SMAP, it does not, whatever smep says."""


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
    followed_mib: int = 64
    """enough for it to be placed in, with QEMU's ROMs beside what waits in RAM for them"""

    def with_token(self, token: str) -> tuple[str, str | None]:
        """cmdline= and ramdisk= of a run."""
        named = [f"{m.path} {m.arguments}" if m.arguments else m.path for m in self.modules]
        ramdisk = ",".join(named).replace("TOKEN", token) if named else None
        return self.cmdline.replace("TOKEN", token), ramdisk


def new_token() -> str:
    return secrets.token_hex(8)


def prepared(folder: Path) -> Mapping[str, Bootable]:
    """All images; `folder` takes those made here."""
    names = ("vmlinuz", "initrd.img", "memtest86+x64.bin", "memtest86+ia32.bin", "ipxe.lkrn")
    found = {
        image.name: image.path
        for image in images.ensure((*names, "xen.gz", KERNEL_FULL, KERNEL_I386, BUSYBOX_I386))
    }

    def made(name: str, content: bytes) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    disk, line = (ModuleFile(str(found["initrd.img"])),), f"{LINUX_LINE} token=TOKEN"
    elf = _elf_of(found["vmlinuz"].read_bytes())
    disk_i386 = made("initrd-i386.img", initrd.build(found[BUSYBOX_I386].read_bytes()))
    text = (ModuleFile(str(initrd_path())),)
    dom0 = ModuleFile(str(found["vmlinuz"]), "console=hvc0 earlyprintk=xen token=TOKEN")

    def debian(
        kernel: Path, proof: Proof = user_space, modules: tuple[ModuleFile, ...] = disk
    ) -> Bootable:
        return Bootable(kernel, 512, line, proof, modules, followed_mib=128)

    def repacked(format: Format) -> Bootable:
        packed = bzimage(payload(elf, format), init_size=64 << 20)
        return debian(made(f"bzImage-{format.value}", packed))

    def memtest86(name: str) -> Bootable:
        return Bootable(found[name], 128, "console=ttyS0,115200", memtest, until="Memtest86+")

    def old(name: str, kernel: TinyKernel, segment: int) -> Bootable:
        return Bootable(made(name, kernel.build()), 64, "token=TOKEN", tiny(segment))

    def ours(kernel: Path, runs_at: int) -> Bootable:
        return Bootable(kernel, 64, "some=thing token=TOKEN", builtin(runs_at), text)

    def witness(name: str, content: bytes, proof: Proof) -> Bootable:
        return Bootable(made(name, content), 64, "token=TOKEN", proof, text)

    return {
        "vmlinuz": debian(found["vmlinuz"]),
        "vmlinux": debian(made("vmlinux", elf)),
        "bzImage-zstd": repacked(Format.ZSTD),
        "bzImage-lzo": repacked(Format.LZO),
        KERNEL_FULL: debian(found[KERNEL_FULL]),
        "vmlinuz-i386": debian(
            found[KERNEL_I386], user_space_of_i386, (ModuleFile(str(disk_i386)),)
        ),
        "memtest86+x64.bin": memtest86("memtest86+x64.bin"),
        "memtest86+ia32.bin": memtest86("memtest86+ia32.bin"),
        "ipxe.lkrn": Bootable(
            found["ipxe.lkrn"], 128, "", ipxe, until="iPXE initialising devices..."
        ),
        "xen.gz": Bootable(
            found["xen.gz"],
            768,
            XEN_LINE,
            xen_and_dom0,
            (dom0, *disk),
            "Run /init as init process\n",
            128,
        ),
        "builtin": ours(kernel_path(), 0x200000),
        "builtin-fixed": ours(nonrelocatable_kernel_path(), 0x100000),
        "before 2.00": old("kernel-1.99", TinyKernel(0, high=False), 0x9000),
        "2.00": old("kernel-2.00", TinyKernel(0x200, high=True), 0x9000),
        "2.01 zImage": old(
            "zImage-2.01", TinyKernel(0x201, high=False, protected_bytes=0x80000), 0x9000
        ),
        "2.04": old("kernel-2.04", TinyKernel(0x204, high=True), 0x1000),
        "witness-pvh": witness("witness-pvh", pvh_kernel(), witness_pvh),
        "witness-multiboot": witness("witness-multiboot", multiboot_kernel(), witness_multiboot),
    }


def _elf_of(bzimage: bytes) -> bytes:
    """The ELF in a distribution's kernel."""
    start = read_setup_header(bzimage[:HEAD_BYTES], len(bzimage)).setup_bytes
    offset, length = (int.from_bytes(bzimage[at : at + 4], "little") for at in (0x248, 0x24C))
    packed = memoryview(bzimage)[start + offset : start + offset + length]
    format = format_of(packed[:8])
    assert format is not None
    return bytes(unpack(packed[:-4], format, int.from_bytes(packed[-4:], "little")))
