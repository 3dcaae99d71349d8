"""One toolstack a run directory, none left behind, nobody else's touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from handoff.errors import RunDirectoryBusy, XenstoreUnavailable
from toolstack.run_directory import (
    LOCK_NAME,
    base_directory,
    locked,
    own_directory,
    remove_abandoned,
)


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def test_base_is_below_the_users_runtime_directory_else_named_after_the_user(
    runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert base_directory() == runtime / "stubdom-direct-boot"
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime / "missing"))
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    assert base_directory() == Path(f"/tmp/stubdom-direct-boot-{os.getuid()}")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert base_directory() == Path(f"/tmp/stubdom-direct-boot-{os.getuid()}")


def test_own_directories_are_private_apart_and_gone_at_the_end() -> None:
    with own_directory() as one, own_directory() as two:
        assert one != two
        assert one.parent == two.parent == base_directory()
        assert {path.stat().st_mode & 0o777 for path in (one, one.parent)} == {0o700}
        (one / "below").mkdir()
        (one / "below" / "file").touch()
    assert list(base_directory().iterdir()) == []


def test_own_directory_goes_when_the_work_in_it_fails() -> None:
    with pytest.raises(ZeroDivisionError), own_directory():
        raise ZeroDivisionError
    assert list(base_directory().iterdir()) == []


def test_a_second_toolstack_is_refused_and_told_who_holds_the_first(tmp_path: Path) -> None:
    with locked(tmp_path):
        with pytest.raises(RunDirectoryBusy) as refused, locked(tmp_path):
            pass
        assert f"{tmp_path}: another toolstack (process {os.getpid()})" in str(refused.value)
        assert "--xenstore" in str(refused.value)
    with locked(tmp_path):
        pass


def test_the_lock_of_a_process_that_died_is_free(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys; from toolstack.run_directory import locked\n"
        "with locked(pathlib.Path(sys.argv[1])):\n os._exit(7)"
    )
    assert subprocess.run([sys.executable, "-c", program, tmp_path]).returncode == 7
    assert (tmp_path / LOCK_NAME).read_text().isdecimal()
    with locked(tmp_path):
        assert (tmp_path / LOCK_NAME).read_text() == str(os.getpid())


def test_a_directory_that_is_not_there_says_how_to_get_one(tmp_path: Path) -> None:
    with (
        pytest.raises(XenstoreUnavailable, match=r"missing: No such file.*xenstore-sim --rundir"),
        locked(tmp_path / "missing"),
    ):
        pass


def test_only_abandoned_directories_are_removed() -> None:
    with own_directory() as held:
        abandoned = [held.with_name(f"run-{name}") for name in ("a", "b")]
        for path in abandoned:
            path.mkdir()
            (path / "socket").touch()
        foreign = held.with_name("something-else")
        foreign.mkdir()

        assert remove_abandoned() == tuple(abandoned)
        assert sorted(base_directory().iterdir()) == sorted((held, foreign))
        assert remove_abandoned() == ()


def test_without_a_base_directory_nothing_is_abandoned() -> None:
    assert remove_abandoned() == ()
    assert not base_directory().exists()


@pytest.fixture(params=["another user's", "a link to ours", "a file"])
def foreign_base(
    request: pytest.FixtureRequest, runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A base directory that somebody else put there, with a trap in it. Returns the prey."""
    prey = runtime / "prey"
    prey.write_text("of value")
    base = base_directory()
    if request.param == "a file":
        base.write_text("in the way")
        return prey
    real = base if request.param == "another user's" else runtime / "elsewhere"
    (real / "run-trap").mkdir(parents=True)
    (real / "run-trap" / LOCK_NAME).symlink_to(prey)
    if real is base:
        ours = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: ours + 1)
    else:
        base.symlink_to(real)
    return prey


def test_a_base_directory_that_is_not_ours_is_not_used(foreign_base: Path) -> None:
    with pytest.raises(XenstoreUnavailable, match="set XDG_RUNTIME_DIR"), own_directory():
        pass
    assert foreign_base.read_text() == "of value"


def test_nothing_is_removed_from_a_base_directory_that_is_not_ours(foreign_base: Path) -> None:
    assert remove_abandoned() == ()
    # The lock file's link was not followed and its file not emptied.
    assert foreign_base.read_text() == "of value"
