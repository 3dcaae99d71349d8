"""The directory one toolstack works in, and the lock that keeps a second one out.

It holds xenstored's sockets. A run that was killed leaves its directory behind, unlocked;
`toolstack cleanup` takes those away.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from handoff.errors import RunDirectoryBusy, XenstoreUnavailable
from toolstack.lock_file import Held, lock_file

LOCK_NAME = "toolstack.lock"
_PREFIX = "run-"


def base_directory() -> Path:
    """Where the run directories of this user are: below XDG_RUNTIME_DIR, else /tmp."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and os.path.isdir(runtime):
        return Path(runtime) / "stubdom-direct-boot"
    return Path(tempfile.gettempdir()) / f"stubdom-direct-boot-{os.getuid()}"


def _is_ours(base: Path) -> bool:
    """Whether it is a directory of this user. In /tmp anybody can take its name, and what lies
    in theirs could lead our lock file to any file of ours."""
    try:
        status = base.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


@contextmanager
def own_directory() -> Iterator[Path]:
    """A new, locked run directory, removed at the end. Raises: XenstoreUnavailable if none
    can be made."""
    base = base_directory()
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        if not _is_ours(base):
            raise PermissionError(1, "it belongs to another user")
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
    except OSError as error:
        raise XenstoreUnavailable(
            f"no run directory can be made in {base} ({error.strerror}): "
            "set XDG_RUNTIME_DIR to a directory of yours"
        ) from error
    try:
        with locked(path):
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Holds the toolstack's lock of `directory`. Raises: RunDirectoryBusy, and
    XenstoreUnavailable if there is no such directory."""
    with ExitStack() as stack:
        try:
            stack.enter_context(lock_file(directory / LOCK_NAME))
        except Held as holder:
            raise RunDirectoryBusy(
                f"run directory {directory}: another toolstack (process {holder}) works there: "
                "wait for it, or use another directory with --xenstore"
            ) from holder
        except OSError as error:
            raise XenstoreUnavailable(
                f"run directory {directory}: {error.strerror}: start `xenstore-sim --rundir "
                f"{directory}` first"
            ) from error
        yield


def remove_abandoned() -> tuple[Path, ...]:
    """Removes run directories that no toolstack holds; which they were."""
    base = base_directory()
    gone = []
    for path in sorted(base.glob(f"{_PREFIX}*")) if _is_ours(base) else ():
        try:
            with locked(path):
                shutil.rmtree(path)
                gone.append(path)
        except (RunDirectoryBusy, XenstoreUnavailable):
            continue
    return tuple(gone)
