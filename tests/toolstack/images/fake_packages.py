"""Packages of an archive of our own: real .deb files, made here."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from handoff.errors import ImageError
from toolstack.images.catalogue import PackageVersion


def make_package(wanted: PackageVersion, files: dict[str, bytes], into: Path) -> Path:
    """A .deb with `files`, built by dpkg-deb."""
    name, _, architecture = wanted.package.partition(":")
    tree = into / "tree"
    control = tree / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(
        f"Package: {name}\nVersion: {wanted.version}\nArchitecture: {architecture or 'amd64'}\n"
        "Maintainer: tests <tests@example.org>\nDescription: made by a test\n"
    )
    for path, content in files.items():
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_bytes(content)
    package = into / "made.deb"
    subprocess.run(
        ("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, package),
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=60,
    )
    return package


@dataclass
class FakePackages:
    """Implements the Packages port."""

    version: str = "1:1.0-1"
    downloads: list[PackageVersion] = field(default_factory=list)
    broken: bool = False

    def newest(self, package: str) -> PackageVersion:
        return PackageVersion(package, self.version)

    def dependency(self, package: str, prefix: str) -> PackageVersion:
        return PackageVersion(f"{prefix}of-{package}", self.version)

    def download(self, wanted: PackageVersion, into: Path) -> Path:
        if self.broken:
            raise ImageError(f"cannot download {wanted}: no network")
        self.downloads.append(wanted)
        marked = f"from {wanted}".encode()
        paths = ("boot/vmlinuz-6.1", "bin/busybox", "boot/memtest86+x64.bin", "boot/ipxe.lkrn")
        return make_package(wanted, dict.fromkeys(paths, marked), into)
