"""Where images are kept between runs: outside the source tree, one folder per version.

    <cache>/vmlinuz -> linux-image-6.1.0-56-cloud-amd64_6.1.192-2/vmlinuz
    <cache>/initrd.img -> initrd_<busybox version>_<recipe>/initrd.img

A name in the cache is a link that is replaced in one step, after the file it leads to was
written whole; a reader sees the old image or the new one.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from handoff.errors import ImageError

ENVIRONMENT_VARIABLE = "STUBDOM_DIRECT_BOOT_CACHE"
_FOLDER = "stubdom-direct-boot"
_LOCK = ".lock"
_LOCK_POLL_S = 0.1


def cache_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """$STUBDOM_DIRECT_BOOT_CACHE, else stubdom-direct-boot in the user's cache folder."""
    ours = environment.get(ENVIRONMENT_VARIABLE)
    if ours:
        return Path(ours).absolute()
    caches = environment.get("XDG_CACHE_HOME")
    # The XDG base directory specification has relative paths ignored.
    base = Path(caches) if caches and os.path.isabs(caches) else Path.home() / ".cache"
    return base / _FOLDER


def locate(name: str, cache: Path | None = None) -> Path | None:
    """The image `name`, None if it was not built yet."""
    path = (cache or cache_directory()) / name
    return path if path.is_file() else None


def version_of(path: Path) -> str:
    """The version an image of the cache was made from: the name of its folder."""
    return path.resolve().parent.name


def publish(cache: Path, name: str, version: str, content: bytes) -> Path:
    """Writes `content` as `version` of `name` and makes it the current one.

    Raises: OSError.
    """
    folder = cache / version
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".new-", delete=False) as file:
        written = Path(file.name)
        try:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)
        except BaseException:
            written.unlink()
            raise
    written.replace(folder / name)
    return point(cache, name, version)


def point(cache: Path, name: str, version: str) -> Path:
    """Makes the already written `version` the current one of `name`. Raises: OSError."""
    link = cache / name
    fresh = cache / f".link-{name}-{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path(version) / name)
    fresh.replace(link)
    return link


def holds(cache: Path, name: str, version: str) -> bool:
    return (cache / version / name).is_file()


@contextmanager
def locked(cache: Path, timeout_s: float) -> Iterator[None]:
    """Nobody else builds in `cache` meanwhile. Makes the folder where it is missing.

    Raises: ImageError if another run keeps it for `timeout_s`, or it cannot be written.
    """
    try:
        cache.mkdir(parents=True, exist_ok=True)
        fd = os.open(cache / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise ImageError(
            f"the image cache {cache} cannot be written: {error.strerror}; "
            f"set {ENVIRONMENT_VARIABLE} to a folder of yours"
        ) from error
    try:
        deadline = time.monotonic() + timeout_s
        while not _try_lock(fd):
            if time.monotonic() > deadline:
                raise ImageError(
                    f"another run has been building images in {cache} for {timeout_s:g} s: "
                    "wait for it or end it"
                )
            time.sleep(_LOCK_POLL_S)
        yield
    finally:
        os.close(fd)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
