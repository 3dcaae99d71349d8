"""Two guests at a time: one by a device model in dom0, one by a stub domain."""

from __future__ import annotations

import os
import time
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from tests.xen.dom0.commands import run
from tests.xen.dom0.create_process import LIMIT_S, CreateProcess
from tests.xen.guest import SCRIPT, with_ballast
from tests.xen.scenarios import stubdom
from tests.xen.scenarios.handoff import config
from tests.xen.scenarios.hvm import QUIET, RAMDISK
from toolstack.images.cpio import regular

_LINGER: Final = b"$busybox sleep 10\n"
"""The first guest is still there when the second is offered its images."""
_POLL_S: Final = 1.0


def two_guests(in_dom0: str, in_stubdom: str) -> dict[str, Any]:
    """How both ended, what each was sent, and the nodes while both were offered something.

    in_dom0, in_stubdom: words of their command lines, each of one guest alone.
    """
    first, sent_first = _guest("t1", in_dom0, _LINGER, {})
    second, sent_second = _guest("t2", in_stubdom, b"", stubdom.keys())
    with CreateProcess(second) as by_stubdom, CreateProcess(first) as by_dom0:
        offered = _offered_to_both(by_stubdom, by_dom0)
        ended = {"in dom0": by_dom0.ended(), "in a stub domain": by_stubdom.ended()}
    return {
        "ended": ended,
        "sent": {"in dom0": sent_first, "in a stub domain": sent_second},
        "offered": offered,
    }


def _guest(name: str, word: str, script: bytes, more: dict[str, object]) -> tuple[Path, str]:
    """Its configuration, and the digest of the ballast in its initrd."""
    ballast = os.urandom(64 << 10)
    ramdisk = Path(f"/run/{name}.img")
    files = [regular(SCRIPT, script)]
    ramdisk.write_bytes(with_ballast(RAMDISK.read_bytes(), ballast, files))
    return config(name, f"{QUIET} {word}", ramdisk, **more), sha256(ballast).hexdigest()


def _offered_to_both(*processes: CreateProcess) -> list[str]:
    """Nodes of handoffs, as `xenstore-ls -fp` shows them, once there are two; else none."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline and not any(each.over for each in processes):
        shown = run("xenstore-ls", "-fp").splitlines()
        nodes = [line for line in shown if "/direct-boot/" in line]
        if sum("/direct-boot/state " in line and "published" in line for line in nodes) == 2:
            return nodes
        time.sleep(_POLL_S)
    return []
