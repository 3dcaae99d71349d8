from __future__ import annotations

import os

import pytest

from toolstack.machine.qemu import rom_file


def test_snapshot_cannot_be_changed() -> None:
    fd = rom_file.create(b"\x55\xaa" * 1024)
    try:
        assert os.pread(fd, 4096, 0) == b"\x55\xaa" * 1024
        with pytest.raises(PermissionError):
            os.pwrite(fd, b"x", 0)
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 1)
    finally:
        os.close(fd)
