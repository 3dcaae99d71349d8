"""The project's own packages as a small archive, in front of dom0's: code costs no rebuild."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.xen.bed.recipe import BUSYBOX, ROOT
from tests.xen.bed.tree import Tree, folder_entries
from tests.xen.guest import initrd
from toolstack.images.cpio import Entry, archive

PACKAGES: Final = ("handoff", "toolstack", "devicemodel", "xenstore_sim")
TESTS: Final = ("tests/__init__.py", "tests/xen")
HOME: Final = "project"
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
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    tree.compile(work)
    return archive(_entries(tree, work, files))


def _entries(tree: Tree, work: Path, files: Iterable[Path]) -> Iterator[Entry]:
    folders = set[str]()
    for path in sorted(path for path in work.rglob("*") if path.is_file()):
        name = f"{HOME}/{path.relative_to(work)}"
        yield from folder_entries(name, folders)
        yield _file(name, path.read_bytes())
    for name, module in PROGRAMS.items():
        # Not usr/bin: that is made by the archive that follows.
        place = f"{HOME}/bin/{name}"
        yield from folder_entries(place, folders)
        yield _file(place, _PROGRAM.format(module=module).encode(), 0o755)
    for path in files:
        place = f"files/{path.name}"
        yield from folder_entries(place, folders)
        yield _file(place, path.read_bytes())
    yield from folder_entries("guest/any", folders)
    yield _file("guest/initrd.img", initrd((tree.folder / BUSYBOX).read_bytes()))
    yield _file("init", INIT.read_bytes(), 0o755)


def _file(name: str, content: bytes, permissions: int = 0o644) -> Entry:
    return Entry(name, stat.S_IFREG | permissions, content)
