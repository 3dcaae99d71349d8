"""QEMU's own direct kernel boot, on the machine that the toolstack would give the guest.

The options are those of toolstack.machine.qemu, less what only the handoff needs. An option
that is dropped here and no longer there is an error, so the two cannot drift apart.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from handoff.guest_ram import regions_for
from handoff.platforms import Platform, low_ram_limit, memory_map
from toolstack.machine.port import Hardware
from toolstack.machine.qemu.accelerator import Accelerator, kvm_group, kvm_is_usable
from toolstack.machine.qemu.arguments import Descriptors, arguments

MIB = 1 << 20
PROGRAM = "qemu-system-x86_64"
SHARED_RAM = "memory-backend=ram"
DROPPED = {
    "-sandbox": "no system call filter",
    "-object": "no shared guest RAM: memory of its own",
    "-mon": "no monitor",
    "-S": "not started paused",
}
"""What plain QEMU does without, and why."""


def accelerator() -> tuple[str, ...]:
    """The -accel options the toolstack's QEMU gets on this host."""
    usable = kvm_is_usable() and (kvm_group() is not None or os.geteuid() != 0)
    return Accelerator.AUTO.arguments(usable)


def command(kernel: Path, ramdisk: Path, cmdline: str, memory_mib: int) -> tuple[str, ...]:
    """`qemu-system-x86_64 -kernel -initrd -append` with the toolstack's machine."""
    memory_bytes = memory_mib * MIB
    limit = low_ram_limit(Platform.QEMU_PC, memory_bytes)
    hardware = Hardware(
        name="plain",
        ram_fd=-1,
        regions=regions_for(memory_bytes, limit),
        memory_bytes=memory_bytes,
        e820=memory_map(memory_bytes, limit),
    )
    ours = arguments(hardware, Descriptors(ram=-1, qmp=-1, rom=None, disks=()), accelerator())
    return (
        PROGRAM,
        *without_handoff(ours),
        *("-kernel", os.fspath(kernel), "-initrd", os.fspath(ramdisk), "-append", cmdline),
    )


def without_handoff(words: Sequence[str]) -> tuple[str, ...]:
    """`words` less the options of DROPPED, the monitor's socket and the shared RAM.

    Raises: ValueError for one that is not there exactly once.
    """
    kept: list[str] = []
    found: list[str] = []
    for option, values in _options(words):
        if option in DROPPED:
            found.append(option)
        elif option == "-chardev" and values[0].startswith("socket,id=qmp"):
            found.append("monitor socket")
        elif option == "-machine":
            parts = values[0].split(",")
            found += [part for part in parts if part == SHARED_RAM]
            kept += (option, ",".join(part for part in parts if part != SHARED_RAM))
        else:
            kept += (option, *values)
    expected = sorted((*DROPPED, "monitor socket", SHARED_RAM))
    if sorted(found) != expected:
        raise ValueError(f"the toolstack's QEMU has {sorted(found)} of {expected}")
    return tuple(kept)


def _options(words: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """Each option with what follows it: none of QEMU's values begins with a dash."""
    starts = [index for index, word in enumerate(words) if word.startswith("-")]
    ends = (*starts[1:], len(words))
    return [
        (words[start], tuple(words[start + 1 : end]))
        for start, end in zip(starts, ends, strict=True)
    ]
