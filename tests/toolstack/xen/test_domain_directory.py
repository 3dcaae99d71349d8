"""A domain's directory is one toolstack's, and stays only while there may be a domain."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID

import pytest

from handoff.errors import HypervisorError, RunDirectoryBusy
from toolstack.xen.domain_directory import (
    Abandoned,
    DomainDirectory,
    Note,
    abandoned,
    domain_directory,
)
from xenstore_sim.wire.names import DomId

IDENTITY = UUID(int=0xBEEF)
NOTE = Note(DomId(7), fresh=True)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tmp_path / "base"


def left_behind(base: Path, note: Note = NOTE, uuid: UUID = IDENTITY) -> Path:
    """As by a toolstack that was killed."""
    with domain_directory(base, uuid) as home:
        home.note(note)
    return home.path


def test_it_is_private_named_by_its_uuid_and_gone_at_the_end(base: Path) -> None:
    with domain_directory(base, IDENTITY) as home:
        assert home.path == base / str(IDENTITY)
        assert {path.stat().st_mode & 0o777 for path in (base, home.path)} == {0o700}
        (home.path / "domain.cfg").touch()
        home.note(NOTE)
        home.forget()
    assert list(base.iterdir()) == []


def test_a_file_has_a_name_in_it_though_a_killed_toolstack_gave_it_one_before(
    base: Path, tmp_path: Path
) -> None:
    rom = tmp_path / "rom.bin"
    rom.write_bytes(b"rom")
    with domain_directory(base, IDENTITY) as home:
        for _ in range(2):
            link = home.link(rom)
            assert (link.parent, link.read_bytes()) == (home.path, b"rom")
    assert rom.exists()


@pytest.mark.parametrize("domid", [None, DomId(7)])
@pytest.mark.parametrize("fresh", [True, False])
def test_a_note_is_read_as_it_was_written(base: Path, domid: DomId | None, fresh: bool) -> None:
    with domain_directory(base, IDENTITY) as home:
        assert home.noted() is None
        home.note(Note(None, fresh=True))
        home.note(Note(domid, fresh))
        assert home.noted() == Note(domid, fresh)


def test_of_two_for_one_uuid_the_second_is_told_of_the_first(base: Path) -> None:
    with (
        domain_directory(base, IDENTITY),
        pytest.raises(RunDirectoryBusy, match=f"{IDENTITY}, or builds it.*write another uuid"),
        domain_directory(base, IDENTITY),
    ):
        pytest.fail("it is the first one's")


def test_one_that_was_left_behind_is_not_built_in(base: Path) -> None:
    left_behind(base)
    for _ in range(2):
        with (
            pytest.raises(HypervisorError, match=r"killed .*run `toolstack cleanup --machine xen`"),
            domain_directory(base, IDENTITY),
        ):
            pytest.fail("its domain may be there")


def test_one_without_a_note_is_built_in(base: Path) -> None:
    (base / str(IDENTITY)).mkdir(parents=True)
    with domain_directory(base, IDENTITY) as home:
        assert home.noted() is None


def test_a_place_where_none_can_be_is_named(base: Path) -> None:
    base.write_text("in the way")
    with (
        pytest.raises(HypervisorError, match=f"{base}.* cannot be made .*root in dom0"),
        domain_directory(base, IDENTITY),
    ):
        pytest.fail("there is no place")


@pytest.mark.parametrize("text", ["", "{}", '{"domid": "7", "fresh": true}', "[7, true]", "\x00"])
def test_a_note_that_is_none_is_shown(base: Path, text: str) -> None:
    path = left_behind(base)
    (path / "domain.json").write_text(text)
    with pytest.raises(HypervisorError, match=r"domain\.json is '.*no note of a domain.*vm-list"):
        DomainDirectory(path, IDENTITY, -1).noted()


def test_abandoned_is_what_nobody_holds(base: Path) -> None:
    assert abandoned(base, ExitStack()) == Abandoned((), ())
    left = left_behind(base)
    (base / "something-of-some-body-else").mkdir()
    (base / str(UUID(int=1))).touch()
    with domain_directory(base, UUID(int=2)), ExitStack() as stack:
        (found,) = abandoned(base, stack).free
        assert (found.path, found.uuid, found.noted()) == (left, IDENTITY, NOTE)
        assert abandoned(base, stack) == Abandoned((), ()), "it is held now"


def test_what_the_xl_of_a_killed_toolstack_still_holds_is_told_apart(base: Path) -> None:
    with domain_directory(base, IDENTITY) as home, ExitStack() as stack:
        gone = subprocess.Popen(["true"])
        gone.wait()
        os.truncate(home.lock, 0)
        os.pwrite(home.lock, str(gone.pid).encode(), 0)
        assert abandoned(base, stack) == Abandoned((), (home.path,))


def test_what_cannot_be_written_is_named(base: Path) -> None:
    with domain_directory(base, IDENTITY) as home:
        for name in ("domain.json", "domain.cfg"):
            (home.path / f"{name}.new").symlink_to("/dev/full")
        for write in (lambda: home.note(NOTE), lambda: home.write("domain.cfg", b"text")):
            with pytest.raises(HypervisorError, match=r"domain\.\w+ cannot be written: No space"):
                write()
    assert list(base.iterdir()) == []


def test_its_lock_stays_until_all_else_is_gone(base: Path) -> None:
    # Else the next toolstack takes it anew, and what it writes is removed after that.
    with domain_directory(base, IDENTITY) as home:
        (home.path / "domain.cfg").touch()
        stays = home.path / "stays"
        stays.mkdir()
        home.remove()
        assert (home.path / "toolstack.lock").exists()
        stays.rmdir()
    assert list(base.iterdir()) == []
