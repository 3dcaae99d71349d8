from __future__ import annotations

from pathlib import Path

import pytest

from handoff.errors import ImageError
from tests.toolstack.images.fake_packages import FakePackages
from toolstack.images import initrd
from toolstack.images.build import build, ensure
from toolstack.images.cache import locate
from toolstack.images.catalogue import PACKAGED


@pytest.fixture
def packages() -> FakePackages:
    return FakePackages()


def test_kernel_comes_from_the_package_the_metapackage_names(
    tmp_path: Path, packages: FakePackages
) -> None:
    (kernel,) = build(["vmlinuz"], cache=tmp_path, packages=packages)
    assert kernel.version == "linux-image-of-linux-image-cloud-amd64_1%3a1.0-1"
    assert kernel.path == locate("vmlinuz", tmp_path)
    assert kernel.path.read_bytes().startswith(b"from linux-image-of-linux-image-cloud-amd64")
    assert kernel.size_bytes == kernel.path.stat().st_size


def test_an_image_of_another_architecture_names_it(tmp_path: Path, packages: FakePackages) -> None:
    (kernel,) = build(["vmlinuz-i386"], cache=tmp_path, packages=packages)
    assert kernel.version == "linux-image-of-linux-image-686:i386_1%3a1.0-1"
    foreign = {image.name: image.architecture for image in PACKAGED if image.architecture}
    assert foreign == {"vmlinuz-i386": "i386", "busybox-i386": "i386"}


def test_initrd_brings_its_busybox(tmp_path: Path, packages: FakePackages) -> None:
    (image,) = build(["initrd.img"], cache=tmp_path, packages=packages)
    busybox = locate("busybox", tmp_path)
    assert busybox is not None
    assert image.path.read_bytes() == initrd.build(busybox.read_bytes())


def test_version_that_is_there_is_not_downloaded_again(
    tmp_path: Path, packages: FakePackages
) -> None:
    first = build(["ipxe.lkrn", "initrd.img"], cache=tmp_path, packages=packages)
    assert len(packages.downloads) == 2
    assert build(["ipxe.lkrn", "initrd.img"], cache=tmp_path, packages=packages) == first
    assert len(packages.downloads) == 2


def test_new_version_replaces_the_old_one(tmp_path: Path, packages: FakePackages) -> None:
    (old,) = build(["ipxe.lkrn"], cache=tmp_path, packages=packages)
    packages.version = "1:2.0-1"
    (new,) = build(["ipxe.lkrn"], cache=tmp_path, packages=packages)
    assert new.path == old.path
    assert new.version == "ipxe_1%3a2.0-1"
    assert new.path.read_bytes() == b"from ipxe_1%3a2.0-1"


def test_package_with_two_images_is_downloaded_once(tmp_path: Path, packages: FakePackages) -> None:
    with pytest.raises(ImageError, match=r"holds no file boot/memtest86\+ia32.bin"):
        build(["memtest86+x64.bin", "memtest86+ia32.bin"], cache=tmp_path, packages=packages)
    assert len(packages.downloads) == 1


def test_failed_download_leaves_the_cache_as_it_was(tmp_path: Path, packages: FakePackages) -> None:
    (old,) = build(["ipxe.lkrn"], cache=tmp_path, packages=packages)
    before = sorted(tmp_path.rglob("*"))
    packages.version, packages.broken = "2", True
    with pytest.raises(ImageError, match="cannot download ipxe_2: no network"):
        build(["ipxe.lkrn"], cache=tmp_path, packages=packages)
    assert sorted(tmp_path.rglob("*")) == before
    assert old.path.read_bytes() == b"from ipxe_1%3a1.0-1"


def test_unknown_image_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="no image 'vmlinux' is known: take vmlinuz, busybox"):
        build(["vmlinux"], cache=tmp_path)


def test_ensure_takes_what_is_there_without_asking_anybody(
    tmp_path: Path, packages: FakePackages, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(["ipxe.lkrn", "initrd.img"], cache=tmp_path, packages=packages)
    monkeypatch.setenv("PATH", "/nonexistent")
    assert ensure(["ipxe.lkrn", "initrd.img"], cache=tmp_path) == built
