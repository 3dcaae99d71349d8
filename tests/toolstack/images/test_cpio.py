from __future__ import annotations

import stat
import subprocess

import pytest

from toolstack.images.cpio import Entry, archive, character_device, directory, regular


def test_header_fields_stand_where_the_format_puts_them() -> None:
    entry = Entry("ab", stat.S_IFCHR | 0o612, content=b"xyz", device=(0x12, 0x34))
    assert archive([entry]).startswith(
        b"070701"
        b"00000001"  # inode
        b"0000218A"  # mode
        b"00000000"  # uid
        b"00000000"  # gid
        b"00000001"  # links
        b"00000000"  # mtime
        b"00000003"  # size
        b"00000000"
        b"00000000"  # device it was made on
        b"00000012"
        b"00000034"  # device
        b"00000003"  # name, with its NUL
        b"00000000"  # checksum
        b"ab\0"
        b"\0\0\0"  # to a multiple of four: 110 + 3 + 3
        b"xyz\0"
        b"070701"
    )


@pytest.mark.parametrize("length", range(5))
def test_every_part_ends_on_four_bytes(length: int) -> None:
    assert len(archive([regular("n" * (length + 1), b"c" * length)])) % 4 == 0


def test_cpio_reads_it_back() -> None:
    entries = [
        directory("dev"),
        character_device("dev/console", 5, 1),
        regular("init", b"#!/bin/sh\n", 0o755),
        Entry("link", stat.S_IFLNK | 0o777, b"init"),
    ]
    listing = _cpio("--list", "--verbose", "--numeric-uid-gid", given=archive(entries))
    lines = [line.split() for line in listing.decode().splitlines()]
    assert [(line[0], line[-1]) for line in lines] == [
        ("drwxr-xr-x", "dev"),
        ("crw-------", "dev/console"),
        ("-rwxr-xr-x", "init"),
        ("lrwxrwxrwx", "init"),
    ]
    assert lines[1][4:6] == ["5,", "1"]
    assert lines[3][-3:] == ["link", "->", "init"]
    assert all(line[2:4] == ["0", "0"] for line in lines)
    assert _cpio("--extract", "--to-stdout", "init", given=archive(entries)) == b"#!/bin/sh\n"


def test_same_entries_give_the_same_bytes() -> None:
    assert archive([regular("a", b"b")]) == archive(iter([regular("a", b"b")]))


@pytest.mark.parametrize("name", ["", "/init", "TRAILER!!!", "a\0b", "x" * 4096])
def test_name_that_an_archive_cannot_hold_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        archive([regular(name, b"")])


def _cpio(*options: str, given: bytes) -> bytes:
    return subprocess.run(
        ("cpio", "--quiet", *options), input=given, stdout=subprocess.PIPE, check=True, timeout=60
    ).stdout
