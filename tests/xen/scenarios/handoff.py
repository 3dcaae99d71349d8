"""An HVM guest by our handoff: `toolstack create --machine xen`, the device model in dom0."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.xen.dom0.commands import attempt, run
from tests.xen.guest import with_ballast
from tests.xen.scenarios import hvm, stubdom
from tests.xen.scenarios.hvm import KERNEL, QUIET, RAMDISK
from toolstack.builtin_guest import INITRD, nonrelocatable_kernel_path

LIMIT_S = 540.0
_POLL_S = 0.2
CREATE = (
    *("toolstack", "create", "--machine", "xen", "--verbose"),
    # A processor that is emulated takes its time.
    *("--stage-timeout", "240", "--silence", "300", "--timeout", "400"),
)


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
    more: dict[str, object] = {}
    if in_a_stub_domain:
        more = {
            "device_model_version": "qemu-xen",
            "device_model_stubdomain_override": 1,
            "stubdomain_kernel": str(stubdom.KERNEL),
            "stubdomain_ramdisk": str(stubdom.ramdisk()),
        }
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


def create(path: Path, *options: str) -> dict[str, Any]:
    """How `toolstack create --machine xen` ended, what the guest said, and what we said.

    Its text goes to the bed's console.
    """
    told = Path("/run/told.json")
    ended = subprocess.run(
        (*CREATE, str(path), "--json-file", str(told), *options),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=LIMIT_S,
        check=False,
    )
    return {
        "status": ended.returncode,
        "console": ended.stdout.splitlines(),
        "told": [json.loads(line) for line in told.read_text().splitlines()],
    }


def ends_with_its_domain(stage: str) -> dict[str, Any]:
    """What is told when somebody else destroys the domain, once this stage was reached."""
    told = Path("/run/told.json")
    told.unlink(missing_ok=True)
    path = config("h3", QUIET, RAMDISK)
    with subprocess.Popen(
        (*CREATE, str(path), "--json-file", str(told)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as process:
        deadline = time.monotonic() + LIMIT_S
        while f'"stage": "{stage}"' not in (told.read_text() if told.exists() else ""):
            if process.poll() is not None or time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
        attempt("xl", "destroy", "h3")
        status = process.wait(LIMIT_S)
    return {"status": status, "told": [json.loads(line) for line in told.read_text().splitlines()]}


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
