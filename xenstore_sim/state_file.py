"""The store in a file, from one run of a daemon to the next, in the public migration format."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from xenstore_sim.migration.decoder import decode_image
from xenstore_sim.migration.encoder import encode_image
from xenstore_sim.migration.errors import StateError
from xenstore_sim.migration.handing_on import restore, save_store, stream_version
from xenstore_sim.migration.records import Record
from xenstore_sim.store.daemon import Daemon

_MODE: Final = 0o600


class StateFileError(Exception):
    """The file cannot be read, or not be written."""

    def __init__(self, path: Path, reason: str, remedy: str) -> None:
        super().__init__(path, reason, remedy)
        self.path = path
        self.reason = reason
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}: {self.remedy}"


class StateFile:
    """Replaced as a whole or not at all, whenever the machine stops."""

    def __init__(self, path: Path) -> None:
        # A link stays one; what it points to is replaced. A loop is for `load` to refuse.
        self._path = Path(os.path.realpath(path))

    def begin(self, daemon: Daemon) -> None:
        """Let a fresh daemon begin with what was saved, if there is any. Raises: StateFileError."""
        if (records := self.load()) is not None:
            with self.blamed():
                restore(daemon, records)

    def end(self, daemon: Daemon) -> None:
        """Save the daemon's store. Raises: StateFileError."""
        self.save(save_store(daemon), stream_version(daemon))

    def load(self) -> tuple[Record, ...] | None:
        """What was saved; None: there is no file. Raises: StateFileError."""
        try:
            # To open a pipe would wait for its writer; a device may have no end.
            if not stat.S_ISREG(self._path.stat().st_mode):
                raise StateFileError(self._path, "it is no regular file", "name one")
            data = self._path.read_bytes()
        except FileNotFoundError:
            self._try_to_write()
            return None
        except OSError as error:
            raise StateFileError(
                self._path, error.strerror or str(error), "name a file that can be read"
            ) from error
        with self.blamed():
            image = decode_image(data)
            if rest := len(data) - image.size:
                raise StateError(f"byte {image.size:#x}", f"{rest} bytes follow the end")
        self._try_to_write()
        return image.records

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """While the file's records are looked at. Raises: StateFileError for StateError."""
        try:
            yield
        except StateError as error:
            raise StateFileError(
                self._path,
                str(error),
                "it is left as it is; put back a good copy, or move it away to begin afresh",
            ) from error

    def save(self, records: Iterable[Record], version: int) -> None:
        """Put this in the file's place. Raises: StateFileError; it says which file is there."""
        data = encode_image(records, version)
        try:
            self._replace(data)
        except OSError as error:
            raise StateFileError(
                self._path,
                f"the store cannot be saved: {error.strerror}",
                "what was there before is still there; free space and look at the directory",
            ) from error
        try:
            self._settle()
        except OSError as error:
            raise StateFileError(
                self._path,
                f"the store is saved, and its directory does not reach the disk: {error.strerror}",
                "a loss of power may bring the former file back; look at the disk",
            ) from error

    def _replace(self, data: bytes) -> None:
        new, fd = self._beside()
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(fd)
            new.rename(self._path)
        except BaseException:
            with suppress(OSError):
                new.unlink()
            raise

    def _settle(self) -> None:
        """Let the new name outlive a loss of power. Raises: OSError."""
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _beside(self) -> tuple[Path, int]:
        """A fresh file in the same directory, and its descriptor. Raises: OSError."""
        new = self._path.with_name(f".{self._path.name}.new")
        # A killed daemon left it, or somebody else a link: neither is to be written through.
        new.unlink(missing_ok=True)
        return new, os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)

    def _try_to_write(self) -> None:
        """Find out now rather than when the store is to be saved. Raises: StateFileError."""
        try:
            new, fd = self._beside()
            os.close(fd)
            new.unlink()
        except OSError as error:
            raise StateFileError(
                self._path,
                f"no file can be made beside it: {error.strerror}",
                "name one in a writable directory",
            ) from error
