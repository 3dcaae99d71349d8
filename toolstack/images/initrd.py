"""The initrd of the demo and the tests: busybox and an /init that reports and powers off.

What it prints is read by people and by tests, so every line has a fixed beginning.
"""

from __future__ import annotations

import gzip
import hashlib

from toolstack.images.cpio import archive, character_device, directory, regular

FIRST_LINE = "user space: started"
CMDLINE_PREFIX = "CMDLINE: "
RELEASE_PREFIX = "kernel release: "
MEMORY_PREFIX = "memory: "
PAYLOAD_PREFIX = "payload: sha256 "
LAST_LINE = "user space: reached, powering off"

PAYLOAD_NAME = "payload"
_GZIP_LEVEL = 6

# Shell built-ins wherever they can do it: a fork costs milliseconds in an emulated guest.
# Output goes to the serial port whatever console= says. Leaving the port at the end makes
# the driver drain it, so that powering off cannot cut the last line.
INIT = f"""\
#!/bin/busybox sh
busybox=/bin/busybox
$busybox mount -t proc proc /proc
$busybox mount -t devtmpfs dev /dev
[ -c /dev/ttyS0 ] && exec </dev/ttyS0 >/dev/ttyS0 2>&1
read -r release </proc/sys/kernel/osrelease
read -r cmdline </proc/cmdline
while read -r name value unit; do
    case $name in MemTotal:) memory="$value $unit" ;; esac
done </proc/meminfo
echo "{FIRST_LINE}"
echo "{RELEASE_PREFIX}$release"
echo "{CMDLINE_PREFIX}$cmdline"
echo "{MEMORY_PREFIX}$memory"
if [ -f /{PAYLOAD_NAME} ]; then
    digest=$($busybox sha256sum /{PAYLOAD_NAME})
    echo "{PAYLOAD_PREFIX}${{digest%% *}}"
fi
case " $cmdline " in
*" end=reboot "*) ending="reboot -f" ;;
*" end=panic "*) ending="" ;;
*) ending="poweroff -f" ;;
esac
echo "{LAST_LINE}"
exec </dev/null >/dev/null 2>&1
[ -z "$ending" ] || $busybox $ending
"""


def build(busybox: bytes, payload: bytes | None = None) -> bytes:
    """A gzip-compressed initrd; the same arguments give the same bytes.

    busybox: a static amd64 busybox. payload: a file whose SHA-256 the guest prints, to show
    that its initrd arrived whole.
    """
    entries = [
        directory("bin"),
        directory("dev"),
        directory("proc"),
        # The kernel opens /dev/console for init before anything is mounted.
        character_device("dev/console", 5, 1),
        regular("bin/busybox", busybox, 0o755),
        regular("init", INIT.encode(), 0o755),
    ]
    if payload is not None:
        entries.append(regular(PAYLOAD_NAME, payload))
    return gzip.compress(archive(entries), _GZIP_LEVEL, mtime=0)


def recipe() -> str:
    """Names this way of building an initrd: changes when /init does."""
    return hashlib.sha256(INIT.encode()).hexdigest()[:12]
