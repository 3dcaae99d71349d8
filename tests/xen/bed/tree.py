"""Unpacked packages as one file tree: nothing is installed, and no root is needed."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.xen.bed.errors import BedError
from tests.xen.bed.recipe import INTERPRETER, LIBRARIES, LOADER, PYTHON_BINARY, left_out
from toolstack.images.cpio import Entry

_MERGED: Final = ("bin", "sbin", "lib", "lib64")
"""Folders that Debian 12 has in usr/, with links to them."""
_UNPACK_TIMEOUT_S: Final = 120
_LISTED: Final = re.compile(r"^\t(\S+) => (\S+)", re.MULTILINE)
_UNUSED: Final = re.compile(r"^usr/share/(doc|man|locale|iso-codes|info|zoneinfo|perl5)/")


class Tree:
    """The files of some packages, by their paths without a leading slash."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def unpack(self, package_file: Path) -> None:
        """Adds the files of a package. Raises: BedError."""
        reader = ("dpkg-deb", "--fsys-tarfile", str(package_file))
        try:
            with subprocess.Popen(reader, stdout=subprocess.PIPE) as unpacker:
                assert unpacker.stdout is not None
                with tarfile.open(fileobj=unpacker.stdout, mode="r|") as archive:
                    for member in archive:
                        self._add(archive, member)
        except (FileNotFoundError, tarfile.TarError) as error:
            raise BedError(f"cannot unpack {package_file.name}: {error}") from error

    def _add(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        name = merged(member.name.removeprefix("./"))
        if not name or _UNUSED.match(name):
            return
        path = self.folder / name
        if member.isdir():
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if member.issym():
            path.symlink_to(member.linkname)
        elif member.islnk():
            path.hardlink_to(self.folder / merged(member.linkname.removeprefix("./")))
        elif member.isreg():
            content = archive.extractfile(member)
            assert content is not None
            path.write_bytes(content.read())
            path.chmod(member.mode & 0o755 | 0o600)

    def select(self, patterns: Iterable[str]) -> set[str]:
        """Paths that match, with everything in a folder that does. Raises: BedError."""
        found: set[str] = set()
        for pattern in patterns:
            matches = [path.relative_to(self.folder) for path in self.folder.glob(pattern)]
            if not matches:
                raise BedError(f"no package holds {pattern}: the bed's recipe is older than they")
            for match in matches:
                found.update(self._under(str(match)))
        return found

    def _under(self, path: str) -> Iterator[str]:
        if left_out(path):
            return
        whole = self.folder / path
        if whole.is_dir() and not whole.is_symlink():
            for each in os.listdir(whole):
                yield from self._under(f"{path}/{each}")
            return
        yield path

    def with_libraries(self, paths: Iterable[str]) -> set[str]:
        """`paths`, what their symbolic links lead to, and every shared library they need.

        Raises: BedError.
        """
        known, waiting = set[str](), [INTERPRETER, *paths]
        while waiting:
            path = waiting.pop()
            if path in known:
                continue
            known.add(path)
            whole = self.folder / path
            if whole.is_symlink():
                waiting.append(self._target(path))
            elif _is_dynamic(whole):
                waiting += self._libraries(path)
        return known

    def _target(self, path: str) -> str:
        link = os.readlink(self.folder / path)
        target = os.path.normpath(os.path.join("/", os.path.dirname(path), link))
        return merged(target.removeprefix("/"))

    def _libraries(self, path: str) -> Iterator[str]:
        """As the tree's own loader finds them."""
        command = (self._loader(), "--inhibit-cache", *self._search(), "--list", path)
        done = subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False
        )
        for library, where in _LISTED.findall(done.stdout):
            place = Path(where)
            if not place.is_relative_to(self.folder):
                raise BedError(f"{path} needs {library}, which is in no package of the bed")
            yield str(place.relative_to(self.folder))

    def _loader(self) -> str:
        return str(self.folder / LOADER)

    def _search(self) -> tuple[str, str]:
        return "--library-path", str(self.folder / LIBRARIES)

    def compile(self, folder: Path) -> None:
        """Byte code beside every Python source in `folder`, by the tree's own Python.

        Raises: BedError.
        """
        # -B, -f: what this Python itself imports would get byte code that dates its source, and
        # the dates are lost in an archive.
        python = (self._loader(), *self._search(), str(self.folder / PYTHON_BINARY), "-SEB")
        mode = ("--invalidation-mode", "unchecked-hash")
        done = subprocess.run(
            (*python, "-m", "compileall", "-q", "-f", *mode, folder),
            env={"PYTHONHOME": str(self.folder / "usr"), "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=_UNPACK_TIMEOUT_S,
            check=False,
        )
        if done.returncode:
            raise BedError(f"Debian's Python cannot compile {folder}: {done.stdout[-300:]}")

    def entries(self, paths: Iterable[str]) -> Iterator[Entry]:
        """Archive entries of these, with the folders they are in."""
        folders = set[str]()
        for path in sorted(paths):
            yield from folder_entries(path, folders)
            whole = self.folder / path
            mode = whole.lstat().st_mode
            if stat.S_ISLNK(mode):
                yield Entry(path, mode, os.readlink(whole).encode())
            else:
                yield Entry(path, mode, whole.read_bytes())


def folder_entries(path: str, made: set[str]) -> Iterator[Entry]:
    """Folders above `path` that are not in `made` yet, which then has them."""
    for parent in reversed(Path(path).parents[:-1]):
        if str(parent) not in made:
            made.add(str(parent))
            yield Entry(str(parent), stat.S_IFDIR | 0o755)


def merged(path: str) -> str:
    """`path` as Debian 12 has it: bin, sbin, lib and lib64 are links into usr."""
    head, slash, tail = path.partition("/")
    if head in _MERGED:
        return f"usr/{head}/{tail}" if slash and tail else ""
    return path.rstrip("/")


def merged_links() -> Iterator[Entry]:
    for name in _MERGED:
        yield Entry(name, stat.S_IFLNK | 0o777, f"usr/{name}".encode())


def _is_dynamic(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        head = file.read(18)
    # e_type at 16: an executable or a shared object, no kernel module
    return head[:4] == b"\x7fELF" and head[16] in (2, 3)
