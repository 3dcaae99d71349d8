"""Builds the images that are missing or old."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from handoff.errors import ImageError
from toolstack.images import initrd
from toolstack.images.apt import Apt, AptFailed, extract
from toolstack.images.cache import (
    cache_directory,
    holds,
    locate,
    locked,
    point,
    publish,
    version_of,
)
from toolstack.images.catalogue import (
    BUSYBOX,
    IMAGE_NAMES,
    INITRD,
    PACKAGED,
    PackagedImage,
    PackageVersion,
)

LOCK_TIMEOUT_S = 900.0


class Packages(Protocol):
    """Where packages come from."""

    def newest(self, package: str) -> PackageVersion: ...

    def dependency(self, package: str, prefix: str) -> PackageVersion: ...

    def download(self, wanted: PackageVersion, into: Path) -> Path: ...


@dataclass(frozen=True, slots=True)
class Image:
    name: str
    version: str
    """`<package>_<version>`, or what it was built from"""
    path: Path
    size_bytes: int


def ensure(names: Iterable[str], *, cache: Path | None = None) -> tuple[Image, ...]:
    """The images `names`; only what is missing is built, the rest is taken as it is.

    Raises: ImageError.
    """
    where = cache or cache_directory()
    wanted = tuple(names)
    missing = tuple(name for name in wanted if not _is_current(where, name))
    if missing:
        build(missing, cache=where)
    return tuple(_image(where, name) for name in wanted)


def build(
    names: Iterable[str] = IMAGE_NAMES,
    *,
    cache: Path | None = None,
    packages: Packages | None = None,
    environment: Mapping[str, str] = os.environ,
) -> tuple[Image, ...]:
    """The images `names` from the newest versions of their packages.

    packages: instead of this machine's apt. Raises: ImageError.
    """
    where = cache or cache_directory()
    wanted = tuple(names)
    unknown = [name for name in wanted if name not in IMAGE_NAMES]
    if unknown:
        raise ImageError(f"no image {unknown[0]!r} is known: take {', '.join(IMAGE_NAMES)}")
    with locked(where, LOCK_TIMEOUT_S):
        try:
            if packages is not None:
                return _build(wanted, where, packages)
            return _build_with_apt(wanted, where, environment)
        except OSError as error:
            raise ImageError(f"cannot write {where}: {error.strerror}") from error


def _build_with_apt(
    wanted: tuple[str, ...], cache: Path, environment: Mapping[str, str]
) -> tuple[Image, ...]:
    try:
        return _build(wanted, cache, Apt(environment))
    except AptFailed:
        # Lists that are missing, or name versions the archive no longer has, are common.
        foreign = {p.architecture for p in PACKAGED if p.name in wanted and p.architecture}
        apt = Apt.with_own_lists(environment, cache / ".apt", sorted(foreign))
        return _build(wanted, cache, apt)


def _build(wanted: tuple[str, ...], cache: Path, packages: Packages) -> tuple[Image, ...]:
    needed = {*wanted, BUSYBOX} if INITRD in wanted else set(wanted)
    downloads: dict[PackageVersion, Path] = {}
    with tempfile.TemporaryDirectory(dir=cache, prefix=".download-") as folder:
        for packaged in PACKAGED:
            if packaged.name in needed:
                _take(packaged, cache, packages, downloads, Path(folder))
    if INITRD in needed:
        _make_initrd(cache)
    return tuple(_image(cache, name) for name in wanted)


def _take(
    packaged: PackagedImage,
    cache: Path,
    packages: Packages,
    downloads: dict[PackageVersion, Path],
    folder: Path,
) -> None:
    if packaged.from_dependency is None:
        version = packages.newest(packaged.package)
    else:
        version = packages.dependency(packaged.package, packaged.from_dependency)
    if holds(cache, packaged.name, str(version)):
        point(cache, packaged.name, str(version))
        return
    if version not in downloads:
        into = folder / str(version)
        into.mkdir()
        downloads[version] = packages.download(version, into)
    publish(cache, packaged.name, str(version), extract(downloads[version], packaged.path))


def _make_initrd(cache: Path) -> None:
    busybox = cache / BUSYBOX
    version = _initrd_version(busybox)
    if holds(cache, INITRD, version):
        point(cache, INITRD, version)
    else:
        publish(cache, INITRD, version, initrd.build(busybox.read_bytes()))


def _initrd_version(busybox: Path) -> str:
    return f"initrd_{version_of(busybox)}_{initrd.recipe()}"


def _is_current(cache: Path, name: str) -> bool:
    path = locate(name, cache)
    if path is None:
        return False
    if name != INITRD:
        return True
    busybox = locate(BUSYBOX, cache)
    return busybox is not None and version_of(path) == _initrd_version(busybox)


def _image(cache: Path, name: str) -> Image:
    path = cache / name
    return Image(name, version_of(path), path, path.stat().st_size)
