"""Kernels that are no Linux, or are entered in other ways; and RAM above 4 GiB."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from tests.xen.dom0.create_process import create
from tests.xen.guest import SCRIPT, with_ballast
from tests.xen.scenarios.handoff import config
from tests.xen.scenarios.hvm import QUIET, RAMDISK
from toolstack.builtin_guest import INITRD
from toolstack.images.cpio import regular

FILES: Final = Path("/files")
"""Where the host puts what is not in the bed."""
SYSTEM_RAM: Final = "guest: RAM "
MEMORY_MIB: Final = 512
MMIO_HOLE_MIB: Final = 3840
"""The largest that libxl takes: RAM below it ends at 256 MiB, the rest is above 4 GiB."""

_TELL_RAM: Final = f"""\
while read -r range _ name; do
    case $name in "System RAM") echo "{SYSTEM_RAM}$range" ;; esac
done </proc/iomem
"""
ENDED: Final = Path("/run/ended-once")
_ENDS_ONCE: Final = f"""\
#!/usr/bin/python3 -I
import os, sys
try:
    os.mkdir("{ENDED}")
except FileExistsError:
    os.execv("/usr/bin/python3", ["python3", "-I", "-m", "devicemodel", *sys.argv[1:]])
sys.exit("ends in its first attempt")
"""


def boots_by_multiboot(kernel: str, cmdline: str) -> dict[str, Any]:
    """A kernel that tells what it was given; the descriptor is in the device model's arguments."""
    ramdisk = Path("/run/i2.img")
    ramdisk.write_bytes(INITRD)
    path = config("i2", cmdline, ramdisk, kernel=str(FILES / kernel), memory=64)
    return create(path, "--carrier", "cmdline")


def boots_beyond_the_hole(token: str) -> dict[str, Any]:
    """A Linux by its PVH entry, with more RAM above 4 GiB than below, at the second attempt."""
    program = Path("/run/ends-once")
    program.write_text(_ENDS_ONCE)
    program.chmod(0o755)
    if ENDED.exists():
        ENDED.rmdir()
    ballast = os.urandom(64 << 10)
    ramdisk = Path("/run/i3.img")
    script = regular(SCRIPT, _TELL_RAM.encode())
    ramdisk.write_bytes(with_ballast(RAMDISK.read_bytes(), ballast, [script]))
    large = {"memory": MEMORY_MIB, "mmio_hole": MMIO_HOLE_MIB}
    path = config("i3", f"{QUIET} token={token}", ramdisk, **large)
    options = ("--boot", "pvh", "--carrier", "memory", "--device-model", str(program))
    return create(path, *options) | {"sent": sha256(ballast).hexdigest()}
