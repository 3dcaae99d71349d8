"""What a guest's own words have to show, and what they showed."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from tests.devicemodel.fw_cfg.witness import words
from tests.e2e.matrix.cells import Method
from toolstack.builtin_guest import INITRD, LAST_LINE


@dataclass(frozen=True, slots=True)
class Said:
    """A run, as far as the guest told of it."""

    console: str
    cmdline: str
    """the guest's, with the random token of this run"""
    token: str
    method: Method

    def has_line(self, line: str) -> bool:
        return f"{line}\n" in self.console


Proof = Callable[[Said], str]
"""Asserts that the guest was given what it should have been; what of it its words show."""


def user_space(said: Said) -> str:
    """Of an initrd of ours."""
    assert said.has_line(f"CMDLINE: {said.cmdline}")
    assert "user space: reached, powering off" in said.console
    return "user space printed its command line"


def user_space_of_i386(said: Said) -> str:
    assert "-686\n" in said.console
    return user_space(said)


def memtest(said: Said) -> str:
    assert "Memtest86+" in said.console
    return "its screen, on the serial port"


def ipxe(said: Said) -> str:
    assert "iPXE initialising devices..." in said.console
    return "its first words, by the BIOS"


def xen_and_dom0(said: Said) -> str:
    assert "(XEN) Xen version 4.17" in said.console
    assert said.has_line("(XEN) Bootloader: stubdom-direct-boot")
    assert said.has_line(f"(XEN) Command line: {said.cmdline}")
    assert "(XEN)  Dom0 kernel: 64-bit" in said.console
    assert said.has_line(f"Command line: console=hvc0 earlyprintk=xen token={said.token}")
    return "its banner and command line; dom0's command line and initrd"


def builtin(runs_at: int) -> Proof:
    def proof(said: Said) -> str:
        # QEMU's ROM brings every kernel to where it is linked.
        at = 0x100000 if said.method.rom else runs_at
        assert said.has_line(f"builtin-guest: runs at       {at:#010x}")
        assert said.has_line(f"command line  0x00020000: {said.cmdline}")
        assert f"bytes {len(INITRD)}, CRC-32 {zlib.crc32(INITRD):#010x}" in said.console
        assert said.console.endswith(f"{LAST_LINE}\n")
        return f"that it runs at {at:#x}, its command line, the CRC-32 of its initrd"

    return proof


def tiny(segment: int) -> Proof:
    """Of TinyKernel; segment: of its setup code."""

    def proof(said: Said) -> str:
        told = said.console.lower()
        assert told.startswith(f"cs={segment + 0x20:04x}\nds={segment:04x}\n")
        assert f"line={said.cmdline}\n" in said.console
        assert told.endswith("sane\n")
        return f"setup code at {segment << 4:#x}, command line, all its bytes"

    return proof


def witness_pvh(said: Said) -> str:
    lines = said.console.split("\n")
    info = words(lines[1])
    assert info[:2] == (0x336EC578, 1)
    assert info[3] == 1
    assert bytes.fromhex(lines[2]) == said.cmdline.encode()
    assert INITRD.hex() in lines
    return "hvm_start_info by EBX, with command line and ramdisk"


def witness_multiboot(said: Said) -> str:
    lines = said.console.split("\n")
    assert words(lines[0])[0] == 0x2BADB002
    assert bytes.fromhex(lines[2]) == f"witness-multiboot {said.cmdline}".encode()
    assert bytes.fromhex(lines[3]) == (b"qemu" if said.method.rom else b"stubdom-direct-boot")
    assert INITRD.hex() in lines
    return "EAX, the information structure by EBX, with strings and module"
