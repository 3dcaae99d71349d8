"""Xen as Debian ships it, with Linux and its initrd as modules: started by multiboot."""

from __future__ import annotations

import json
import secrets
import signal
from pathlib import Path

import pytest

from tests.e2e.toolstack_runs import left_behind, start, text, toolstack, write_config

XEN_LINE = "com1=115200,8n1 console=com1 dom0_mem=256M smap=0"
"""With SMAP, in TCG of QEMU 7.2, dom0 crashes before its first line: Xen faults on dom0's stack in
create_bounce_frame. Started by QEMU's own loader the same Xen ends the same way; with smap=0, or
on a CPU without SMAP, it does not, whatever smep says."""


def console_until(wanted: str, runtime: Path, *arguments: str) -> tuple[str, str, int]:
    """Console and errors of a run that is ended once it has said `wanted`, and its process id.

    Xen goes on when dom0 has ended. If the words never come the toolstack's own --timeout ends it.
    """
    process = start(runtime, *arguments, "--timeout", "100")
    assert process.stdout is not None
    console = ""
    while wanted not in console:
        line = process.stdout.readline()
        if not line:
            break
        console += text(line)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    return console, text(errors), process.pid


@pytest.mark.parametrize("way", [(), ("--native",)], ids=["handoff", "native"])
def test_xen_prints_its_banner_and_starts_dom0_with_its_initrd(
    way: tuple[str, ...], debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    token = secrets.token_hex(8)
    dom0_line = f"console=hvc0 earlyprintk=xen token={token}"
    config = write_config(
        tmp_path / "guest.cfg",
        memory=768,
        kernel=debian["xen.gz"],
        ramdisk=f"{debian['vmlinuz']} {dom0_line},{debian['initrd.img']}",
        cmdline=XEN_LINE,
    )
    wanted = "Run /init as init process\n"

    console, errors, pid = console_until(
        wanted, runtime, "create", str(config), "--machine", "qemu", "--json", *way
    )

    assert wanted in console, errors
    assert "(XEN) Xen version 4.17" in console
    assert "(XEN) Bootloader: stubdom-direct-boot\n" in console
    assert f"(XEN) Command line: {XEN_LINE}\n" in console
    assert "(XEN)  Dom0 kernel: 64-bit" in console
    assert f"Command line: {dom0_line}\n" in console
    (placed,) = (o for o in map(json.loads, errors.splitlines()) if o["event"] == "placed")
    assert placed["method"] == "multiboot, ELF32 (gzip)"
    assert [entry["name"] for entry in placed["placements"]].count("module 1") == 1
    assert left_behind(runtime, pid) == []


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
