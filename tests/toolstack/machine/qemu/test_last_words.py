from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from toolstack.machine.qemu.last_words import SIZE_BYTES, create, last_line


@pytest.fixture
def file() -> Iterator[int]:
    fd = create()
    yield fd
    os.close(fd)


@pytest.mark.parametrize(
    ("written", "line"),
    [
        (b"", ""),
        (b"\n", ""),
        (b"one\ntwo\n", "two"),
        (b"one\ntwo", "two"),
        (b"qemu-system-x86_64: -S: no such thing\n", "-S: no such thing"),
        (b"/usr/bin/qemu-system-x86_64: no\n", "no"),
        (b"setpriv: failed to execute: no\n", "setpriv: failed to execute: no"),
        (b"\xff\n", "\ufffd"),
    ],
)
def test_last_line_comes_without_qemus_name(file: int, written: bytes, line: str) -> None:
    os.write(file, written)
    assert last_line(file) == line


def test_it_cannot_grow(file: int) -> None:
    assert os.write(file, bytes(SIZE_BYTES)) == SIZE_BYTES
    with pytest.raises(PermissionError):
        os.write(file, b"x")
