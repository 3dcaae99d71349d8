"""Builds the bed, where the one that fits the recipe is not there yet."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from handoff.errors import ImageError
from tests.xen.bed import recipe, wheels
from tests.xen.bed.errors import BedError
from tests.xen.bed.initramfs import pack
from tests.xen.bed.kernel import unpacked
from tests.xen.bed.packages import Archive
from tests.xen.bed.tree import Tree, folder_entries, merged_links
from toolstack.images.cache import cache_directory, locked
from toolstack.images.cpio import Entry, regular

FOLDER: Final = "xenbed"
_LOCK_TIMEOUT_S: Final = 900.0
_NEEDED_BYTES: Final = 1 << 30
_KEPT: Final = 3
"""Beds of other recipes that stay in the cache."""

HYPERVISOR: Final = "xen.elf"
KERNEL: Final = "vmlinuz"
DOM0: Final = "dom0.cpio.lz4"
MANIFEST: Final = "manifest.json"
TREE: Final = "tree"


@dataclass(frozen=True, slots=True)
class Bed:
    """A built bed: files in a folder of the cache."""

    folder: Path

    @property
    def hypervisor(self) -> Path:
        return self.folder / HYPERVISOR

    @property
    def kernel(self) -> Path:
        return self.folder / KERNEL

    @property
    def dom0(self) -> Path:
        """initramfs of dom0, which holds the guests' files in /guest"""
        return self.folder / DOM0

    @property
    def tree(self) -> Tree:
        """the unpacked packages"""
        return Tree(self.folder / TREE)

    def manifest(self) -> dict[str, object]:
        return dict(json.loads((self.folder / MANIFEST).read_text()))


def build(cache: Path | None = None) -> Bed:
    """The bed of this recipe: the one of the cache, or a new one. Raises: BedError."""
    home = (cache or cache_directory()) / FOLDER
    bed = Bed(home / recipe.fingerprint())
    if (bed.folder / MANIFEST).exists():
        return bed
    try:
        with locked(home, _LOCK_TIMEOUT_S):
            if not (bed.folder / MANIFEST).exists():
                _refuse_a_full_disk(home)
                _build(home, bed.folder)
    except ImageError as error:
        raise BedError(str(error)) from error
    except OSError as error:
        raise BedError(f"cannot build the bed in {home}: {error}") from error
    return bed


def _refuse_a_full_disk(home: Path) -> None:
    free = shutil.disk_usage(home).free
    if free < _NEEDED_BYTES:
        raise BedError(
            f"the bed needs {_NEEDED_BYTES >> 20} MiB in {home}, {free >> 20} MiB are free: "
            "make room or set STUBDOM_DIRECT_BOOT_CACHE to another folder"
        )


def _build(home: Path, final: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home, prefix=".building-") as name:
        work = Path(name)
        archive = Archive(home / "apt")
        archive.refresh()
        kernel_package = archive.dependency(recipe.KERNEL_METAPACKAGE, "linux-image-")
        packages = (
            *archive.with_dependencies(recipe.DOM0_PACKAGES),
            *archive.alone((kernel_package, recipe.HYPERVISOR)),
        )
        tree = Tree(work / TREE)
        for package in packages:
            tree.unpack(package)
        wheels.install(recipe.requirements(), tree.folder / recipe.SITE_PACKAGES)
        tree.compile(tree.folder / recipe.PYTHON)
        tree.compile(tree.folder / recipe.SITE_PACKAGES)
        _pack(tree, kernel_package.removeprefix("linux-image-"), work)
        _keep_what_compiles(tree)
        manifest = {"packages": sorted(package.name for package in packages)}
        (work / MANIFEST).write_text(json.dumps(manifest, indent=1))
        work.chmod(0o755)
        work.rename(final)
        # The context's own removal finds an empty folder.
        work.mkdir()
    _forget_old(home, final)


def _pack(tree: Tree, release: str, work: Path) -> None:
    xen = (tree.folder / f"boot/xen-{recipe.XEN_VERSION}-{recipe.ARCHITECTURE}.gz").read_bytes()
    (work / HYPERVISOR).write_bytes(gzip.decompress(xen))
    kernel = (tree.folder / f"boot/vmlinuz-{release}").read_bytes()
    (work / KERNEL).write_bytes(kernel)
    modules = tree.select((f"usr/lib/modules/{release}/{recipe.KERNEL_MODULES}",))
    selected = tree.select(recipe.STUBDOM_FILES)
    needed = (path for path in selected if not recipe.left_out_of_stubdom(path))
    stub_files = tree.with_libraries(needed) | modules
    stub = pack((*merged_links(), *tree.entries(stub_files), *_of_installation()))
    guest = {"vmlinuz": kernel, "vmlinux": unpacked(kernel), "stub.cpio.lz4": stub}
    dom0_files = tree.with_libraries(tree.select(recipe.DOM0_FILES)) | modules
    dom0 = (*merged_links(), *tree.entries(dom0_files), *_of_installation(), *_guest_entries(guest))
    (work / DOM0).write_bytes(pack(dom0))


def _guest_entries(files: dict[str, bytes]) -> Iterator[Entry]:
    yield from folder_entries("guest/any", set())
    for name, content in files.items():
        yield regular(f"guest/{name}", content)


def _of_installation() -> Iterator[Entry]:
    """What a package's installation would have written."""
    yield regular("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
    yield regular("etc/group", b"root:x:0:\nnogroup:x:65534:\n")
    yield Entry("var/run", stat.S_IFLNK | 0o777, b"/run")
    yield Entry("var/lock", stat.S_IFLNK | 0o777, b"/run/lock")


def _keep_what_compiles(tree: Tree) -> None:
    """Of the tree, what is needed at each boot: Python, to compile the project; busybox."""
    needed = (recipe.PYTHON_BINARY, recipe.PYTHON, recipe.BUSYBOX)
    kept = tree.with_libraries(tree.select(needed))
    for path in sorted(tree.folder.rglob("*"), reverse=True):
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        elif str(path.relative_to(tree.folder)) not in kept:
            path.unlink()


def _forget_old(home: Path, current: Path) -> None:
    beds = [path.parent for path in home.glob(f"*/{MANIFEST}") if path.parent != current]
    beds.sort(key=lambda path: os.stat(path).st_mtime, reverse=True)
    for old in beds[_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
