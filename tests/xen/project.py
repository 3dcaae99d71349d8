"""The project's own packages as a small archive, in front of dom0's: code costs no rebuild."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.xen.bed.recipe import BUSYBOX, ROOT, SITE_PACKAGES
from tests.xen.bed.tree import Tree, folder_entries
from tests.xen.guest import initrd
from toolstack.images.cpio import Entry, archive

PACKAGES: Final = ("handoff", "toolstack", "devicemodel", "xenstore_sim")
TESTS: Final = (
    "tests/__init__.py",
    "tests/xen",
    "tests/contract",
    "tests/xenstore_sim/__init__.py",
    "tests/xenstore_sim/client/__init__.py",
    "tests/xenstore_sim/client/transport_contract.py",
)
HOME: Final = "project"
PATH_FILE: Final = f"{SITE_PACKAGES}/{HOME}.pth"
STUBDOM_PACKAGES: Final = ("handoff", "devicemodel", "xenstore_sim")
STUBDOM_ARCHIVE: Final = "guest/stub-project.cpio"
"""In dom0; with guest/stub.cpio.lz4 behind it, the initramfs of a stub domain."""
STUBDOM_INIT: Final = ROOT / "tests" / "xen" / "stubdom" / "init"
INIT: Final = ROOT / "tests" / "xen" / "dom0" / "init"
PROGRAMS: Final = {"toolstack": "toolstack.__main__", "devicemodel": "devicemodel.cli"}

_PROGRAM: Final = "#!/usr/bin/python3\nimport sys\nfrom {module} import main\nsys.exit(main())\n"
_LEFT_OUT: Final = shutil.ignore_patterns("__pycache__", "*.asm")


def project_archive(tree: Tree, work: Path, files: Iterable[Path] = ()) -> bytes:
    """Packages, programs, scenarios and /init; with byte code, as compiling takes long in the bed.

    work: an empty folder. files: go to /files. Not packed: nothing can follow a packed one.
    """
    for package in PACKAGES:
        shutil.copytree(ROOT / package, work / package, ignore=_LEFT_OUT)
    for name in TESTS:
        source, target = ROOT / name, work / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=_LEFT_OUT)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    tree.compile(work)
    return archive(_entries(tree, work, files))


def _entries(tree: Tree, work: Path, files: Iterable[Path]) -> Iterator[Entry]:
    folders = set[str]()
    yield from _sources(work, ("",), folders)
    for name, module in PROGRAMS.items():
        # Not usr/bin: that is made by the archive that follows.
        place = f"{HOME}/bin/{name}"
        yield from folder_entries(place, folders)
        yield _file(place, _PROGRAM.format(module=module).encode(), 0o755)
    # Also for `python3 -I`, as which the toolstack starts a device model.
    yield from folder_entries(PATH_FILE, folders)
    yield _file(PATH_FILE, f"/{HOME}\n".encode())
    for path in files:
        place = f"files/{path.name}"
        yield from folder_entries(place, folders)
        yield _file(place, path.read_bytes())
    yield from folder_entries(STUBDOM_ARCHIVE, folders)
    yield _file(STUBDOM_ARCHIVE, archive(_stubdom_entries(work)))
    yield _file("guest/initrd.img", initrd((tree.folder / BUSYBOX).read_bytes()))
    yield _file("init", INIT.read_bytes(), 0o755)


def _stubdom_entries(work: Path) -> Iterator[Entry]:
    """No toolstack, no scenario, no image of a guest."""
    folders = set[str]()
    yield from _sources(work, STUBDOM_PACKAGES, folders)
    yield from folder_entries(PATH_FILE, folders)
    yield _file(PATH_FILE, f"/{HOME}\n".encode())
    yield _file("init", STUBDOM_INIT.read_bytes(), 0o755)


def _sources(work: Path, below: Iterable[str], folders: set[str]) -> Iterator[Entry]:
    found = (path for name in below for path in (work / name).rglob("*") if path.is_file())
    for path in sorted(found):
        name = f"{HOME}/{path.relative_to(work)}"
        yield from folder_entries(name, folders)
        yield _file(name, path.read_bytes())


def _file(name: str, content: bytes, permissions: int = 0o644) -> Entry:
    return Entry(name, stat.S_IFREG | permissions, content)
