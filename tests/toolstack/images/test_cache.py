from __future__ import annotations

from pathlib import Path

import pytest

from handoff.errors import ImageError
from toolstack.images.cache import (
    cache_directory,
    locate,
    locked,
    publish,
    version_of,
)

OURS = "STUBDOM_DIRECT_BOOT_CACHE"


@pytest.mark.parametrize(
    ("environment", "directory"),
    [
        ({OURS: "/a", "XDG_CACHE_HOME": "/b"}, Path("/a")),
        ({OURS: "", "XDG_CACHE_HOME": "/b"}, Path("/b/stubdom-direct-boot")),
        ({}, Path.home() / ".cache/stubdom-direct-boot"),
        ({"XDG_CACHE_HOME": "relative"}, Path.home() / ".cache/stubdom-direct-boot"),
        ({OURS: "relative"}, Path.cwd() / "relative"),
    ],
)
def test_directory_follows_the_environment(environment: dict[str, str], directory: Path) -> None:
    assert cache_directory(environment) == directory


def test_nothing_is_located_before_it_was_published(tmp_path: Path) -> None:
    assert locate("vmlinuz", tmp_path) is None
    assert locate("vmlinuz", tmp_path / "missing") is None


def test_published_image_is_located_with_its_version(tmp_path: Path) -> None:
    publish(tmp_path, "vmlinuz", "linux_1", b"one")
    publish(tmp_path, "vmlinuz", "linux_2", b"two")
    path = locate("vmlinuz", tmp_path)
    assert path is not None
    assert (path.read_bytes(), version_of(path)) == (b"two", "linux_2")


def test_everybody_may_read_an_image(tmp_path: Path) -> None:
    assert publish(tmp_path, "vmlinuz", "linux_1", b"one").stat().st_mode & 0o777 == 0o644


def test_reader_of_the_old_image_keeps_it(tmp_path: Path) -> None:
    with publish(tmp_path, "vmlinuz", "linux_1", b"one").open("rb") as reader:
        publish(tmp_path, "vmlinuz", "linux_1", b"new one")
        assert reader.read() == b"one"


def test_no_partial_file_stays(tmp_path: Path) -> None:
    publish(tmp_path, "vmlinuz", "linux_1", b"one")
    names = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")}
    assert names == {"vmlinuz", "linux_1", "linux_1/vmlinuz"}


def test_second_run_waits_and_then_says_why(tmp_path: Path) -> None:
    with (
        locked(tmp_path, 0),
        pytest.raises(ImageError, match="another run has been building"),
        locked(tmp_path, 0),
    ):
        pytest.fail("locked twice")
    with locked(tmp_path, 0):
        pass


def test_cache_that_cannot_be_written_names_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(ImageError, match=f"cannot be written: .*; set {OURS} to a folder"),
        locked(tmp_path / "file", 0),
    ):
        pytest.fail("locked a file")
