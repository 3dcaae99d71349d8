"""The images boot: QEMU's own loader takes the Debian kernel and our initrd to user space.

What the handoff is compared with, and the proof that a failure there is not the images'.
"""

from __future__ import annotations

import hashlib
import re
import subprocess
from pathlib import Path

from toolstack.images import ensure, initrd

LIMIT_S = 120.0
MEMORY_MIB = 256
CMDLINE = "console=ttyS0 quiet nokaslr our.word=42"


def boot(kernel: Path, initial_ramdisk: Path) -> str:
    """The serial console until the guest powers off."""
    done = subprocess.run(
        (
            *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot"),
            *("-display", "none", "-machine", "pc", "-accel", "tcg", "-cpu", "max"),
            *("-m", str(MEMORY_MIB), "-serial", "stdio"),
            *("-kernel", str(kernel), "-initrd", str(initial_ramdisk), "-append", CMDLINE),
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        timeout=LIMIT_S,
    )
    return done.stdout.decode().replace("\r\n", "\n")


def test_debian_kernel_and_initrd_reach_user_space_and_report(tmp_path: Path) -> None:
    kernel, busybox = ensure(["vmlinuz", "busybox"])
    payload = hashlib.shake_128(b"payload").digest(300_001)
    image = tmp_path / "initrd.img"
    image.write_bytes(initrd.build(busybox.path.read_bytes(), payload))
    console = boot(kernel.path, image)
    # The console is shared with the kernel, which may put a line of its own between.
    lines = [line for line in console.splitlines() if not line.startswith("[")]
    release = re.fullmatch(r"linux-image-(.+-cloud-amd64)_.*", kernel.version)
    assert release is not None
    first = lines.index(initrd.FIRST_LINE)
    memory = lines[first + 3]
    assert lines[first : first + 6] == [
        initrd.FIRST_LINE,
        initrd.RELEASE_PREFIX + release[1],
        initrd.CMDLINE_PREFIX + CMDLINE,
        memory,
        initrd.PAYLOAD_PREFIX + hashlib.sha256(payload).hexdigest(),
        initrd.LAST_LINE,
    ]
    kib = int(memory.removeprefix(initrd.MEMORY_PREFIX).removesuffix(" kB"))
    assert MEMORY_MIB * 1024 * 3 // 4 < kib < MEMORY_MIB * 1024
