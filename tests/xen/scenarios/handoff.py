"""An HVM guest by our handoff: `toolstack create --machine xen`, the device model in dom0."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from tests.xen.dom0.commands import attempt, run
from tests.xen.dom0.create_process import LIMIT_S, CreateProcess, create
from tests.xen.guest import with_ballast
from tests.xen.scenarios import hvm, stubdom
from tests.xen.scenarios.hvm import KERNEL, QUIET, RAMDISK
from toolstack.builtin_guest import INITRD, nonrelocatable_kernel_path


def config(name: str, cmdline: str, ramdisk: Path, **more: object) -> Path:
    """An xl.cfg as an operator writes it."""
    keys = {
        "type": "hvm",
        "name": name,
        "memory": 256,
        "vcpus": 1,
        "kernel": str(KERNEL),
        "ramdisk": str(ramdisk),
        "cmdline": cmdline,
        "vga": "none",
        "vnc": 0,
        **more,
    }
    path = Path(f"/run/{name}.cfg")
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))
    return path


def boots_by_our_handoff(
    token: str, ballast_kib: int = 64, in_a_stub_domain: bool = False
) -> dict[str, Any]:
    """What the guest said on our standard output, and the stages by the time of each."""
    ballast = os.urandom(ballast_kib << 10)
    ramdisk = Path("/run/h1.img")
    ramdisk.write_bytes(with_ballast(RAMDISK.read_bytes(), ballast))
    more = stubdom.keys() if in_a_stub_domain else {}
    path = config("h1", f"{QUIET} token={token}", ramdisk, **more)
    ended = create(path)
    ramdisk.unlink()
    return ended | {"sent": hashlib.sha256(ballast).hexdigest()}


def boots_over_hvmloader(token: str) -> dict[str, Any]:
    """A kernel that runs at 1 MiB and nowhere else: where hvmloader is when it is handed over."""
    kernel = str(nonrelocatable_kernel_path())
    ramdisk = Path("/run/h3.img")
    ramdisk.write_bytes(INITRD)
    ended = create(config("h3", f"token={token}", ramdisk, kernel=kernel))
    ramdisk.unlink()
    return ended


def ends_with_its_domain(stage: str) -> dict[str, Any]:
    """What is told when somebody else destroys the domain, once this stage was reached."""
    with CreateProcess(config("h3", QUIET, RAMDISK)) as process:
        process.wait_for_stage(stage)
        attempt("xl", "destroy", "h3")
        return process.ended()


def refuses_what_xl_refuses() -> dict[str, Any]:
    """A guest larger than the machine: xl's own words, and nothing left."""
    return create(config("h2", QUIET, RAMDISK, memory=1 << 17))


def holds_the_contracts() -> str:
    """What tests.contract.on_xen prints about a paused domain."""
    run("xl", "create", "-p", str(hvm.config("c1")))
    domid = run("xl", "domid", "c1").strip()
    done = subprocess.run(
        ("python3", "-m", "tests.contract.on_xen", domid),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    run("xl", "destroy", domid)
    return done.stdout + done.stderr
