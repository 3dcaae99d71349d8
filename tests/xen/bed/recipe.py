"""What the bed is made of, as names and paths.

Everything here and in the code beside it is part of the recipe: when it changes, so does the
folder the bed is kept in.
"""

from __future__ import annotations

import hashlib
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[3]

XEN_VERSION: Final = "4.17"
ARCHITECTURE: Final = "amd64"
LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
LOADER: Final = f"{LIBRARIES}/ld-linux-x86-64.so.2"
INTERPRETER: Final = "usr/lib64/ld-linux-x86-64.so.2"
"""A link to the loader; every program names it."""
PYTHON: Final = "usr/lib/python3.11"
PYTHON_VERSION: Final = "3.11"
PYTHON_BINARY: Final = "usr/bin/python3.11"
BUSYBOX: Final = "usr/bin/busybox"
SITE_PACKAGES: Final = "usr/lib/python3/dist-packages"

KERNEL_METAPACKAGE: Final = "linux-image-amd64"
"""Not the cloud kernel, which cannot be dom0: it has no CONFIG_XEN_DOM0."""
HYPERVISOR: Final = f"xen-hypervisor-{XEN_VERSION}-amd64"
DOM0_PACKAGES: Final = (
    f"xen-utils-{XEN_VERSION}",
    "xenstore-utils",
    "qemu-system-xen",
    "python3",
    "busybox-static",
)
"""With all that they depend on."""

KERNEL_MODULES: Final = "kernel/drivers/xen"

NOT_IMPORTED: Final = frozenset({"unicorn"})
"""Requirements of the project that nothing needs on Xen."""
TEST_REQUIREMENTS: Final = ("pytest>=8", "pytest-trio>=0.8")
WHEEL_PLATFORMS: Final = tuple(f"manylinux_2_{minor}_x86_64" for minor in range(36, 4, -1))
"""Those that Debian 12's glibc 2.36 runs."""

_STDLIB_LEFT_OUT: Final = (
    "test", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "pydoc_data", "distutils",
    "venv", "wsgiref", "config-3.11-x86_64-linux-gnu",
)  # fmt: skip

PYTHON_FILES: Final = (PYTHON_BINARY, "usr/bin/python3", PYTHON)
DEVICE_MODEL_NEEDS: Final = (
    *("attr", "attrs", "blake3", "construct", "idna", "lz4", "msgpack", "outcome", "sniffio"),
    *("sortedcontainers", "trio", "zstandard"),
)
"""Of the Python packages, those that devicemodel imports, directly or not."""
_STUBDOM_STDLIB_LEFT_OUT: Final = (
    "asyncio/*", "concurrent/*", "curses/*", "dbm/*", "email/*", "html/*", "http/*",
    "multiprocessing/*", "sqlite3/*", "tomllib/*", "unittest/*", "xml/*", "xmlrpc/*", "zoneinfo/*",
    "lib-dynload/_asyncio*", "lib-dynload/_codecs_*", "lib-dynload/_crypt*", "lib-dynload/_curses*",
    "lib-dynload/_dbm*", "lib-dynload/_multiprocessing*", "lib-dynload/_sqlite3*",
    "lib-dynload/_test*", "lib-dynload/_xx*", "lib-dynload/_zoneinfo*", "lib-dynload/audioop*",
    "lib-dynload/nis*", "lib-dynload/ossaudiodev*", "lib-dynload/readline*",
    "lib-dynload/xxlimited*",
)  # fmt: skip
"""With their libraries 17 of 59 MB, which each start of a stub domain would unpack."""
XEN_CLIENTS: Final = (
    *(f"usr/bin/xenstore-{verb}" for verb in ("read", "write", "ls", "list", "rm", "exists")),
    *(
        f"{LIBRARIES}/libxen{name}.so.*"
        for name in ("foreignmemory", "ctrl", "store", "devicemodel", "call", "evtchn", "gnttab")
    ),
)
STUBDOM_FILES: Final = (
    BUSYBOX,
    *PYTHON_FILES,
    *XEN_CLIENTS,
    *(f"{SITE_PACKAGES}/{name}" for name in DEVICE_MODEL_NEEDS),
)
DOM0_FILES: Final = (
    BUSYBOX,
    *PYTHON_FILES,
    SITE_PACKAGES,
    *XEN_CLIENTS,
    "usr/bin/xenstore*",
    f"usr/lib/xen-{XEN_VERSION}/bin/*",
    f"usr/lib/xen-{XEN_VERSION}/boot/hvmloader",
    "usr/libexec/xen-qemu-system-i386",
    "usr/share/qemu/keymaps/en-us",
    "usr/share/qemu/kvmvapic.bin",
    "usr/share/qemu/linuxboot*.bin",
    "usr/share/qemu/multiboot*.bin",
    "usr/share/qemu/pvh.bin",
    "usr/share/seabios/bios-256k.bin",
    "etc/xen/xl.conf",
)
"""Paths in the unpacked packages, `*` as in a shell; a folder stands for all in it."""


def left_out(path: str) -> bool:
    """Whether `path` is in a selected folder and still not taken."""
    if path.startswith(f"{PYTHON}/"):
        return path[len(PYTHON) + 1 :].split("/")[0] in _STDLIB_LEFT_OUT
    return path.endswith(("/xen-shim", "/oxenstored")) or "/zstandard/_cffi." in path


def left_out_of_stubdom(path: str) -> bool:
    """The same for what no device model imports."""
    if path.startswith(f"{PYTHON}/"):
        name = path[len(PYTHON) + 1 :]
        return any(fnmatchcase(name, pattern) for pattern in _STUBDOM_STDLIB_LEFT_OUT)
    return "/_tests/" in path


def requirements() -> tuple[str, ...]:
    """What is installed into the bed's Python: the project's own requirements and pytest."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ours = (
        each
        for each in project["dependencies"]
        if each.split(">")[0].split("=")[0].strip() not in NOT_IMPORTED
    )
    return (*ours, *TEST_REQUIREMENTS)


def fingerprint() -> str:
    """Changes when anything does of which a bed is built, but for new versions of packages."""
    state = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        state.update(source.read_bytes())
    for each in requirements():
        state.update(each.encode())
    return state.hexdigest()[:16]
