"""The real apt and dpkg-deb, over an archive in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from handoff.errors import ImageError
from tests.toolstack.images.fake_packages import make_package
from tests.toolstack.images.repository import make_repository
from toolstack.images.apt import Apt, AptFailed, extract
from toolstack.images.build import build
from toolstack.images.catalogue import PackageVersion

WANTED = PackageVersion("made", "1:2-3")
FILES = {"boot/config-6": b"no", "boot/vmlinuz-6": b"yes"}


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    archive = tmp_path / "archive"
    environment = make_repository(
        archive,
        {WANTED: FILES, PackageVersion("made", "1:2-2"): {}, PackageVersion("other", "9"): {}},
        depends="libc6 (>= 2), other | made (= 1:2-3)",
    )
    return Apt.with_own_lists(environment, tmp_path / "own")


def test_newest_version_is_taken(apt: Apt) -> None:
    assert apt.newest("made") == WANTED


def test_dependency_is_found_by_prefix(apt: Apt) -> None:
    assert apt.dependency("other", "mad") == WANTED
    assert apt.dependency("made", "oth") == PackageVersion("other", "9")


def test_a_dependency_is_of_its_packages_architecture(tmp_path: Path) -> None:
    kernel, meta = PackageVersion("linux-6:i386", "6-1"), PackageVersion("linux:i386", "1")
    environment = make_repository(tmp_path / "archive", {kernel: {}, meta: {}}, depends="linux-6")
    apt = Apt.with_own_lists(environment, tmp_path / "own", ["i386"])
    assert apt.dependency("linux:i386", "linux-") == kernel
    into = tmp_path / "into"
    into.mkdir()
    assert apt.download(kernel, into).suffix == ".deb"


def test_missing_dependency_is_named(apt: Apt) -> None:
    with pytest.raises(ImageError, match=r"made depends on no linux-image-\* but on libc6"):
        apt.dependency("made", "linux-image-")


def test_downloaded_package_holds_its_files(apt: Apt, tmp_path: Path) -> None:
    into = tmp_path / "into"
    into.mkdir()
    assert extract(apt.download(WANTED, into), "boot/vmlinuz-*") == b"yes"


def test_unknown_version_cannot_be_downloaded(apt: Apt, tmp_path: Path) -> None:
    with pytest.raises(AptFailed, match=r"cannot download made_0: E: Version '0' .* not found"):
        apt.download(PackageVersion("made", "0"), tmp_path)


def test_unknown_package_says_where_to_look(apt: Apt) -> None:
    with pytest.raises(AptFailed) as caught:
        apt.newest("no-such-package")
    assert str(caught.value) == (
        "cannot find Debian package no-such-package: E: No packages found; "
        "look at the network and at apt's sources"
    )


def test_machine_without_lists_fetches_its_own(tmp_path: Path) -> None:
    ipxe = PackageVersion("ipxe", "1")
    environment = make_repository(tmp_path / "archive", {ipxe: {"boot/ipxe.lkrn": b"ipxe"}})
    with pytest.raises(AptFailed):
        Apt(environment).newest("ipxe")
    (image,) = build(["ipxe.lkrn"], cache=tmp_path / "cache", environment=environment)
    assert (image.version, image.path.read_bytes()) == ("ipxe_1", b"ipxe")


def test_archive_that_is_gone_is_one_line(tmp_path: Path) -> None:
    environment = make_repository(tmp_path / "archive", {})
    (tmp_path / "archive" / "Packages").unlink()
    with pytest.raises(ImageError) as caught:
        build(["ipxe.lkrn"], cache=tmp_path / "cache", environment=environment)
    assert str(caught.value).startswith("cannot fetch apt's lists: E: ")
    assert "\n" not in str(caught.value)


def test_epoch_is_escaped_as_in_package_files() -> None:
    assert str(WANTED) == "made_1%3a2-3"


def test_file_that_a_package_lacks_is_named(tmp_path: Path) -> None:
    package = make_package(WANTED, {"boot/config-6": b"no"}, tmp_path)
    with pytest.raises(ImageError, match=r"made\.deb holds no file boot/vmlinuz-\*"):
        extract(package, "boot/vmlinuz-*")


@pytest.mark.parametrize("kept_bytes", [0, 20, 150, 20_000])
def test_damaged_package_is_refused(tmp_path: Path, kept_bytes: int) -> None:
    package = make_package(WANTED, {"boot/vmlinuz-6": bytes(50_000)}, tmp_path)
    package.write_bytes(package.read_bytes()[:kept_bytes])
    with pytest.raises(ImageError, match=r"made\.deb"):
        extract(package, "boot/vmlinuz-*")
