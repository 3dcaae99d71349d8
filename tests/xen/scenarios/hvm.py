"""An HVM guest by libxl's own direct boot: QEMU in dom0 is given the names of files."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tests.xen.dom0.commands import attempt, run
from tests.xen.dom0.domains import domid_of, wait_until_gone
from tests.xen.dom0.serial_log import SerialLog
from tests.xen.dom0.xen_console import messages
from tests.xen.guest import BALLAST, CMDLINE, OFF, USER_SPACE, with_ballast

KERNEL: Final = Path("/guest/vmlinuz")
RAMDISK: Final = Path("/guest/initrd.img")
QUIET: Final = "console=ttyS0 quiet pci=noearly"
"""Each line on the emulated port takes long, as does probing for an AGP aperture."""
BOOT_TIMEOUT_S: Final = 240.0


def config(name: str, **more: object) -> Path:
    """An xl.cfg of a guest with one serial port and no screen; more: keys that are added."""
    keys: Mapping[str, object] = {
        "type": "hvm",
        "name": name,
        "memory": 256,
        "vcpus": 1,
        "kernel": str(KERNEL),
        "ramdisk": str(RAMDISK),
        "serial": f"file:{serial_path(name)}",
        "vga": "none",
        "vnc": 0,
        "on_crash": "destroy",
        "on_reboot": "destroy",
        **more,
    }
    path = Path(f"/run/{name}.cfg")
    path.write_text("".join(f"{key} = {_quoted(value)}\n" for key, value in keys.items()))
    return path


def _quoted(value: object) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'


def serial_path(name: str) -> Path:
    return Path(f"/run/{name}.serial")


def boots_by_libxl(token: str, ballast_kib: int = 64, memory_mib: int = 256) -> dict[str, Any]:
    """What the guest said, and when: seconds from `xl create` on.

    ballast_kib: random bytes in the initrd, whose digest the guest prints.
    """
    ballast = os.urandom(ballast_kib << 10)
    ramdisk = Path("/run/g1.img")
    ramdisk.write_bytes(with_ballast(RAMDISK.read_bytes(), ballast))
    cmdline = f"{QUIET} token={token}"
    path = config("g1", ramdisk=ramdisk, memory=memory_mib, cmdline=cmdline)
    serial = SerialLog(serial_path("g1"))
    started_s = time.monotonic()
    run("xl", "create", str(path))
    created_s = time.monotonic()
    domid = domid_of("g1")
    user_space = serial.wait_for(USER_SPACE, BOOT_TIMEOUT_S)
    facts = {
        "cmdline": serial.wait_for(CMDLINE, BOOT_TIMEOUT_S).text,
        "ballast": serial.wait_for(BALLAST, BOOT_TIMEOUT_S).text,
        "sent": hashlib.sha256(ballast).hexdigest(),
    }
    serial.wait_for(OFF, BOOT_TIMEOUT_S)
    wait_until_gone(domid, BOOT_TIMEOUT_S)
    ramdisk.unlink()
    firmware = [each for each in messages() if each.who == f"d{domid}" and each.at_s > started_s]
    points = {
        "created": created_s,
        "firmware starts": firmware[0].at_s,
        "firmware ends": firmware[-1].at_s,
        "kernel starts": user_space.at_s - float(user_space.text),
        "user space": user_space.at_s,
        "gone": time.monotonic(),
    }
    return facts | {
        "seconds": {name: round(at - started_s, 2) for name, at in points.items()},
        "firmware": [each.text for each in firmware],
    }


def answers_to_a_stub_domain() -> dict[str, Any]:
    """What `xl create` says to direct boot with a device model in a stub domain."""
    stubdom = {"device_model_stubdomain_override": 1}
    files = {
        "stubdomain_kernel": KERNEL,
        "stubdomain_ramdisk": "/guest/stub.cpio.lz4",
        "stubdomain_memory": 256,
    }
    qemu = {"device_model_version": "qemu-xen"}
    answers = {}
    for name, keys in {
        "alone": stubdom,
        "with files": stubdom | files,
        "qemu-xen": stubdom | qemu,
    }.items():
        status, said = attempt("xl", "create", "-p", str(config("g1", **keys)))
        left = [line.split()[0] for line in run("xl", "list").splitlines()[2:]]
        for domain in left:
            attempt("xl", "destroy", domain)
        answers[name] = {"status": status, "said": said, "left": left}
    return answers
