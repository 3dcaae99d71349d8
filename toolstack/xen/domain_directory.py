"""The directory of one domain that a toolstack of ours builds on this host, named by its uuid.

Whoever works on the domain holds the directory's lock: the toolstack and, by its standard input,
each xl it starts, which outlives it. QEMU does not, as libxl gives it another one. So a directory
that nobody holds was left by a toolstack that was killed, and its note tells of which domain.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

from handoff.errors import HypervisorError, RunDirectoryBusy, printable
from toolstack.lock_file import Held, lock_file
from xenstore_sim.wire.names import DomId

BASE: Final = Path("/run/stubdom-direct-boot")
"""Gone when the host starts anew, as its domains are."""
CLEANUP: Final = "`toolstack cleanup --machine xen`"
_LOCK: Final = "toolstack.lock"
_NOTE: Final = "domain.json"
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Note:
    """A domain that there is, or may be."""

    domid: DomId | None
    """None: xl has not said yet that it is built"""
    fresh: bool
    """nobody else has its uuid; else the configuration does, which others may use, too"""


@dataclass(frozen=True, slots=True)
class DomainDirectory:
    """It is ours as long as we hold its lock."""

    path: Path
    uuid: UUID
    lock: int
    """descriptor, for whoever shall hold it on"""

    def link(self, file: Path) -> Path:
        """Another name of `file`, in here: who is given it is known as ours by it.

        Raises: HypervisorError.
        """
        link = self.path / file.name
        with _writing(link):
            link.unlink(missing_ok=True)
            link.symlink_to(file)
        return link

    def write(self, name: str, content: bytes) -> Path:
        """A file of ours, whole or not at all. Raises: HypervisorError, as where /run is full."""
        file, new = self.path / name, self.path / f"{name}.new"
        with _writing(file):
            new.write_bytes(content)
            new.rename(file)
        return file

    def note(self, note: Note) -> None:
        """From here on the directory stays, whatever becomes of us. Raises: HypervisorError."""
        whole = json.dumps({"domid": note.domid, "fresh": note.fresh})
        self.write(_NOTE, whole.encode("ascii"))

    def noted(self) -> Note | None:
        """Raises: HypervisorError if it is no note of ours."""
        file = self.path / _NOTE
        try:
            text = file.read_text("utf-8", "replace")
        except FileNotFoundError:
            return None
        try:
            match json.loads(text):
                case {"domid": int() | None as domid, "fresh": bool(fresh)}:
                    return Note(None if domid is None else DomId(domid), fresh)
        except ValueError:
            pass
        raise HypervisorError(
            f"{file} is {printable(text, _SHOWN)!r}, no note of a domain: see whether there is one "
            f"of the uuid {self.uuid} (`xl vm-list`), and remove {self.path}"
        )

    def forget(self) -> None:
        """There is no domain any more."""
        (self.path / _NOTE).unlink(missing_ok=True)

    def remove(self) -> None:
        """With its lock at last: who takes that anew must find all of ours gone."""
        with suppress(OSError):
            for file in self.path.iterdir():
                if file.name != _LOCK:
                    file.unlink()
            (self.path / _LOCK).unlink()
            self.path.rmdir()


@contextmanager
def _writing(file: Path) -> Iterator[None]:
    """Raises: HypervisorError."""
    try:
        yield
    except OSError as error:
        raise HypervisorError(f"{file} cannot be written: {error.strerror}") from error


@contextmanager
def domain_directory(base: Path, uuid: UUID) -> Iterator[DomainDirectory]:
    """The directory of a domain to be built; it stays behind only with a note.

    Raises: RunDirectoryBusy if another toolstack builds or has a domain of this uuid,
    HypervisorError if a killed one left it.
    """
    path = base / str(uuid)
    with ExitStack() as stack:
        try:
            for directory in (base, path):
                directory.mkdir(mode=0o700, exist_ok=True)
            home = DomainDirectory(path, uuid, stack.enter_context(lock_file(path / _LOCK)))
        except Held as holder:
            raise RunDirectoryBusy(
                f"another toolstack (process {holder}) has a domain of the uuid {uuid}, or builds "
                f"it, in {path}: wait for its end, or write another uuid"
            ) from holder
        except OSError as error:
            raise HypervisorError(
                f"{path} cannot be made ({error.strerror}): run as root in dom0"
            ) from error
        if home.noted() is not None:
            raise HypervisorError(
                f"a toolstack that was killed left a domain of the uuid {uuid}, or what belonged "
                f"to it: run {CLEANUP}"
            )
        try:
            yield home
        finally:
            if home.noted() is None:
                home.remove()


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Directories whose toolstacks were killed."""

    free: tuple[DomainDirectory, ...]
    """nobody works on them, and their locks are ours"""
    busy: tuple[Path, ...]
    """an xl does, which its toolstack did not live to see the end of"""


def abandoned(base: Path, stack: ExitStack) -> Abandoned:
    """Those in `base`; the locks are ours until `stack` is closed."""
    free, busy = [], []
    for path in sorted(base.glob("*-*-*-*-*")):
        try:
            uuid = UUID(path.name)
            lock = stack.enter_context(lock_file(path / _LOCK))
        except Held as holder:
            if not Path("/proc", str(holder)).exists():
                busy.append(path)
        except (ValueError, FileNotFoundError, NotADirectoryError):
            continue
        else:
            free.append(DomainDirectory(path, uuid, lock))
    return Abandoned(tuple(free), tuple(busy))
