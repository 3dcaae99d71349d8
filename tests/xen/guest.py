"""The guest of the scenarios: an initrd that says on the serial port what it was given.

Every line of its own begins with a fixed word, as the kernel writes to the same port.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from typing import Final

from toolstack.images.cpio import Entry, archive, character_device, directory, regular

USER_SPACE: Final = "guest: user space, uptime "
CMDLINE: Final = "guest: cmdline "
BALLAST: Final = "guest: ballast sha256 "
OFF: Final = "guest: off"

_BALLAST_FILE: Final = "ballast"
SCRIPT: Final = "script"
"""A file that a scenario may add: what else the guest does, by its shell."""

# Leaving the port at the end makes the driver drain it.
INIT: Final = f"""\
#!/bin/busybox sh
busybox=/bin/busybox
$busybox mount -t proc proc /proc
$busybox mount -t devtmpfs dev /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
read -r uptime _ </proc/uptime
read -r cmdline </proc/cmdline
echo "{USER_SPACE}$uptime"
echo "{CMDLINE}$cmdline"
digest=$($busybox sha256sum /{_BALLAST_FILE})
echo "{BALLAST}${{digest%% *}}"
[ -f /{SCRIPT} ] && . /{SCRIPT}
echo "{OFF}"
exec </dev/null >/dev/null 2>&1
$busybox poweroff -f
"""


def initrd(busybox: bytes) -> bytes:
    """Packed, and to be followed by ballast."""
    entries = (
        *(directory(name) for name in ("bin", "dev", "proc")),
        character_device("dev/console", 5, 1),
        regular("bin/busybox", busybox, 0o755),
        regular("init", INIT.encode(), 0o755),
    )
    return gzip.compress(archive(entries), 6, mtime=0)


def with_ballast(packed: bytes, ballast: bytes, more: Iterable[Entry] = ()) -> bytes:
    """An initrd with a file more, whose digest the guest prints, to show that it arrived whole.

    more: files beside it. Linux unpacks one archive after the other.
    """
    return packed + bytes(-len(packed) % 4) + archive([regular(_BALLAST_FILE, ballast), *more])
