"""Images come into guest RAM as they are, or not at all."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import FOUR_GIB, MIB, PAGE, Gpa, GpaRange
from handoff.descriptor import Role
from handoff.e820 import E820Map
from handoff.errors import ImageError, PlacementError
from handoff.guest_ram import RamRegion
from handoff.platforms import Platform, low_ram_limit, memory_map, staging_window
from tests.builders import POISON, host_file, noise, outcome, small_ram
from toolstack.load import (
    BUFFER_BYTES,
    ImageFile,
    LoadMethod,
    OpenImage,
    damaged,
    load,
    open_images,
    stage_places,
)

REGION = RamRegion(GpaRange(Gpa(0), 1 * MIB), 0)
EDGES = (1, PAGE, BUFFER_BYTES, 2 * BUFFER_BYTES)
sizes = st.sampled_from(EDGES).flatmap(lambda edge: st.integers(max(1, edge - 2), edge + 2))
methods = pytest.mark.parametrize("method", list(LoadMethod), ids=lambda method: method.value)


def silent(role: Role, done: int, total: int) -> None:
    pass


@contextmanager
def opened(content: bytes, role: Role = Role.KERNEL) -> Iterator[OpenImage]:
    with host_file(content) as file:
        yield OpenImage(ImageFile(role, Path("the-file")), file.fileno(), len(content))


@given(size=sizes, at=st.integers(0, 2 * PAGE))
def test_both_ways_put_the_same_bytes_and_nothing_beside_them(size: int, at: int) -> None:
    content = noise(size, size)
    place = GpaRange(Gpa(PAGE + at), size)
    before, after = GpaRange.between(0, place.start), GpaRange.between(place.end, 1 * MIB)
    found = []
    for method in LoadMethod:
        with small_ram((REGION,)) as ram, opened(content) as image:
            found.append(load([image], [place], ram, method, silent))
            assert ram.read(place) == content
            for around in (before, after):
                assert ram.read(around) == bytes([POISON]) * around.size
    assert found[0] == found[1]
    (staged,) = found[0].images
    assert (staged.role, staged.range) == (Role.KERNEL, place)
    assert staged.digest == blake3(content).digest()


@methods
def test_a_second_load_starts_at_the_files_beginning(method: LoadMethod) -> None:
    place = GpaRange(Gpa(PAGE), 100)
    with small_ram((REGION,)) as ram, opened(noise(100, 1)) as image:
        first = load([image], [place], ram, method, silent)
        ram.fill(place, 0)
        assert damaged(first, ram) == (0,)
        assert load([image], [place], ram, method, silent) == first
        assert damaged(first, ram) == ()


@methods
def test_a_file_cut_since_it_was_opened_is_refused_with_what_there_was(method: LoadMethod) -> None:
    content = noise(BUFFER_BYTES + 100, 2)
    with small_ram((REGION,)) as ram, opened(content) as image:
        os.ftruncate(image.fd, BUFFER_BYTES + 1)
        with pytest.raises(ImageError) as refused:
            load([image], [GpaRange(Gpa(0), image.size)], ram, method, silent)
    assert f"ends after {BUFFER_BYTES + 1} of {len(content)} bytes" in str(refused.value)
    assert str(refused.value).startswith("kernel the-file: ")


@methods
def test_of_a_file_that_grew_no_more_is_read_than_was_announced(method: LoadMethod) -> None:
    content = noise(PAGE, 3)
    with small_ram((REGION,)) as ram, opened(content) as image:
        os.pwrite(image.fd, b"more", PAGE)
        load([image], [GpaRange(Gpa(0), PAGE)], ram, method, silent)
        assert ram.read(GpaRange(Gpa(0), PAGE + 4)) == content + bytes([POISON]) * 4


@methods
def test_a_file_that_cannot_be_read_is_an_image_error(method: LoadMethod) -> None:
    # A directory opens for reading, and every read of it fails.
    fd = os.open("/", os.O_RDONLY)
    try:
        image = OpenImage(ImageFile(Role.RAMDISK, Path("slash")), fd, 10)
        with small_ram((REGION,)) as ram, pytest.raises(ImageError, match="ramdisk slash: cannot"):
            load([image], [GpaRange(Gpa(0), 10)], ram, method, silent)
    finally:
        os.close(fd)


@methods
def test_progress_rises_to_the_whole_for_each_image_in_turn(method: LoadMethod) -> None:
    told: list[tuple[Role, int, int]] = []
    contents = (noise(3 * BUFFER_BYTES, 4), noise(10, 5))
    with (
        small_ram((REGION,)) as ram,
        opened(contents[0]) as kernel,
        opened(contents[1], Role.RAMDISK) as ramdisk,
    ):
        places = (GpaRange(Gpa(0), len(contents[0])), GpaRange(Gpa(0x80000), len(contents[1])))
        load([kernel, ramdisk], places, ram, method, lambda *call: told.append(call))
    assert [role for role, _, _ in told] == sorted((role for role, _, _ in told), key=str)
    for role, content in zip((Role.KERNEL, Role.RAMDISK), contents, strict=True):
        steps = [done for told_role, done, _ in told if told_role is role]
        assert steps == sorted(set(steps))
        assert steps[-1] == len(content)
        assert {total for told_role, _, total in told if told_role is role} == {len(content)}


def test_what_the_listener_raises_stops_the_load_where_it_is() -> None:
    class Stop(Exception):
        pass

    def stop(role: Role, done: int, total: int) -> None:
        raise Stop

    with small_ram((REGION,)) as ram, opened(noise(3 * BUFFER_BYTES, 6)) as image:
        place = GpaRange(Gpa(0), image.size)
        with pytest.raises(Stop):
            load([image], [place], ram, LoadMethod.BUFFER, stop)
        rest = GpaRange.between(BUFFER_BYTES, place.end)
        assert ram.read(rest) == bytes([POISON]) * rest.size


def test_only_the_damaged_images_are_named() -> None:
    with small_ram((REGION,)) as ram, opened(b"one") as one, opened(b"two", Role.RAMDISK) as two:
        places = (GpaRange(Gpa(0), 3), GpaRange(Gpa(PAGE), 3))
        loaded = load([one, two], places, ram, LoadMethod.BUFFER, silent)
        assert loaded.bytes == 6
        ram.write(Gpa(PAGE + 2), b"0")
        assert damaged(loaded, ram) == (1,)
        ram.write(Gpa(2), b"E")
        assert damaged(loaded, ram) == (0, 1)


@pytest.mark.parametrize("kind", ["missing", "empty", "directory", "fifo", "device"])
def test_what_is_no_file_with_content_is_refused_at_once(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    match kind:
        case "empty":
            path.touch()
        case "directory":
            path.mkdir()
        case "fifo":
            os.mkfifo(path)
        case "device":
            path = Path("/dev/zero")
    reason = {"missing": "No such file", "empty": r"is empty \(0 bytes\)"}.get(kind, "regular file")
    descriptors = os.listdir("/proc/self/fd")
    with (
        pytest.raises(ImageError, match=f"ramdisk {path}: .*{reason}.*: name a"),
        open_images([ImageFile(Role.RAMDISK, path)]),
    ):
        pass
    assert len(os.listdir("/proc/self/fd")) == len(descriptors)


def test_files_are_closed_at_the_end_and_after_a_refusal(tmp_path: Path) -> None:
    good = ImageFile(Role.KERNEL, tmp_path / "good")
    good.path.write_bytes(b"content")
    count = len(os.listdir("/proc/self/fd"))
    with open_images([good]) as (image,):
        assert (image.size, os.pread(image.fd, 99, 0)) == (7, b"content")
    bad = ImageFile(Role.RAMDISK, tmp_path / "missing")
    with pytest.raises(ImageError), open_images([good, bad]):
        pass
    assert len(os.listdir("/proc/self/fd")) == count


memories = st.integers(64, 4608)
image_sizes = st.lists(st.integers(1, 40 * MIB), min_size=1, max_size=4)


@given(memory_mib=memories, sizes=image_sizes)
def test_places_are_page_aligned_disjoint_in_the_window_and_the_last_is_highest(
    memory_mib: int, sizes: list[int]
) -> None:
    e820 = _e820(memory_mib)
    window = staging_window(e820)
    places = outcome(lambda: stage_places(sizes, e820), PlacementError)
    if isinstance(places, PlacementError):
        assert sum(sizes) + len(sizes) * PAGE > window.size
        return
    assert [place.size for place in places] == sizes
    assert all(place.start % PAGE == 0 and window.contains(place) for place in places)
    assert all(low.end <= high.start for low, high in pairwise(places))
    # The highest page-aligned place there is: where a device model leaves a ramdisk.
    assert window.end - places[-1].end < PAGE


@given(memory_mib=st.integers(64, 200), sizes=image_sizes)
def test_a_refusal_names_the_least_memory_that_suffices(memory_mib: int, sizes: list[int]) -> None:
    refused = outcome(lambda: stage_places(sizes, _e820(memory_mib)), PlacementError)
    if not isinstance(refused, PlacementError):
        return
    assert str(staging_window(_e820(memory_mib))) in str(refused)
    more = re.search(r"at least (\d+) MiB more memory", str(refused))
    assert more is not None
    enough = memory_mib + int(more[1])
    stage_places(sizes, _e820(enough))
    with pytest.raises(PlacementError):
        stage_places(sizes, _e820(enough - 1))


def test_more_memory_is_not_advised_where_low_ram_is_as_large_as_it_gets() -> None:
    e820 = _e820(8192)
    with pytest.raises(PlacementError) as refused:
        stage_places([int(FOUR_GIB)], e820)
    assert "more memory" not in str(refused.value)
    assert "smaller images" in str(refused.value)


def _e820(memory_mib: int) -> E820Map:
    size = memory_mib * MIB
    return memory_map(size, low_ram_limit(Platform.QEMU_PC, size))
