"""A lock is held by whoever has its descriptor, and a file that is gone locks nobody out."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from toolstack.lock_file import Held, lock_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def test_a_second_holder_is_told_of_the_first(path: Path) -> None:
    with lock_file(path), pytest.raises(Held, match=f"^{os.getpid()}$"), lock_file(path):
        pytest.fail("it is held")
    with lock_file(path):
        assert path.read_text() == str(os.getpid())


def test_a_holder_of_whom_nothing_is_known_yet_is_one_too(path: Path) -> None:
    with lock_file(path) as fd:
        os.ftruncate(fd, 0)
        with pytest.raises(Held, match="unknown"), lock_file(path):
            pytest.fail("it is held")


def test_without_its_directory_there_is_no_lock(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), lock_file(tmp_path / "missing" / "lock"):
        pass


def test_who_was_handed_the_descriptor_holds_it_on(path: Path) -> None:
    with lock_file(path) as fd:
        heir = subprocess.Popen(["sleep", "600"], stdin=fd)
    try:
        with pytest.raises(Held), lock_file(path):
            pytest.fail("it is held")
    finally:
        heir.kill()
        heir.wait()
    with lock_file(path):
        pass


def test_the_lock_of_a_file_that_was_removed_meanwhile_is_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[int] = []
    really: Callable[..., int] = os.open

    def overtaken(*arguments: object, **more: object) -> int:
        opened.append(fd := really(*arguments, **more))
        if len(opened) == 1:
            path.unlink()
        return fd

    monkeypatch.setattr(os, "open", overtaken)
    with lock_file(path) as fd:
        assert len(opened) == 2
        assert os.path.samestat(os.fstat(fd), path.stat())
