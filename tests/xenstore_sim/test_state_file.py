"""The store across a real stop."""

import errno
import os
import signal
import stat
from functools import partial
from pathlib import Path

import pytest
import trio

from tests.xenstore_sim.test_main import DEADLINE_S, daemon, run
from xenstore_sim.client import Client
from xenstore_sim.migration.decoder import decode_image
from xenstore_sim.migration.encoder import encode_image
from xenstore_sim.migration.records import NodeData, PermEntry, WatchData
from xenstore_sim.server import ServerHandle, Settings, serve
from xenstore_sim.state_file import StateFile, StateFileError
from xenstore_sim.wire.compat import RELEASES
from xenstore_sim.wire.names import DomId, Token
from xenstore_sim.wire.perms import Access, NodePerms

OWNER = (PermEntry(Access.NONE, DomId(0)),)
DOM5 = DomId(5)


async def serving(
    nursery: trio.Nursery, rundir: Path, state: Path, release: str = "4.20"
) -> ServerHandle:
    daemon = partial(
        serve, rundir, settings=Settings(RELEASES[release]), state_file=StateFile(state)
    )
    handle: ServerHandle = await nursery.start(daemon)
    return handle


@pytest.mark.parametrize("release", list(RELEASES))
async def test_nodes_permissions_and_domains_are_there_again(tmp_path: Path, release: str) -> None:
    state = tmp_path / "state"
    async with trio.open_nursery() as nursery:
        handle = await serving(nursery, tmp_path / "run", state, release)
        async with Client.connect(handle.socket_path) as dom0:
            await dom0.write("/b/second", b"\0\xff")
            await dom0.write("/b/first", "")
            await dom0.rm("/tool")
            await dom0.introduce(DOM5, 1, 1)
            await dom0.set_perms("/b", NodePerms.of("n0", "r5"))
            async with Client.connect(handle.domain_socket_path(DOM5)) as dom5:
                assert await dom5.read("/b") == b""
        before = tuple((path, *node[:3]) for path, node in handle.nodes())
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        handle = await serving(nursery, tmp_path / "run", state, release)
        assert tuple((path, *node[:3]) for path, node in handle.nodes()) == before
        async with Client.connect(handle.domain_socket_path(DOM5)) as dom5:
            assert await dom5.directory("/b") == ("second", "first")
        nursery.cancel_scope.cancel()


def test_the_command_saves_when_it_is_stopped_and_not_when_it_is_killed(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with daemon(tmp_path / "run", "--state", str(state)) as process:
        process.kill()
        process.wait(DEADLINE_S)
    assert not state.exists()
    with daemon(tmp_path / "run", "--state", str(state)) as process:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    image = decode_image(state.read_bytes())
    assert [record.path for record in image.records if isinstance(record, NodeData)] == [
        "/", "/tool", "/tool/xenstored", "@releaseDomain", "@introduceDomain",
    ]  # fmt: skip
    assert os.listdir(tmp_path) == ["run", "state"] or os.listdir(tmp_path) == ["state", "run"]
    assert state.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the header: it is not that of a xenstore migration stream"),
        (b"x" * 100, "the header: it is not that of a xenstore migration stream"),
        (encode_image([], 1)[:-4], "record 1 at byte 0x10: the stream ends there"),
        (encode_image([], 1) + b"more", "byte 0x18: 4 bytes follow the end"),
        (
            encode_image([NodeData("/a/b", b"", OWNER)], 1),
            "record 1 (NodeData): /a/b comes before its parent, or has none",
        ),
        (
            encode_image([NodeData("/a", b"", OWNER), NodeData("/a", b"", OWNER)], 1),
            "record 2 (NodeData): a second node /a",
        ),
        (encode_image([NodeData("a//", b"", OWNER)], 1), "record 1 (NodeData): 'a//' is not a"),
        (
            encode_image([NodeData("/a", b"", (PermEntry(Access.NONE, DomId(0), True),))], 1),
            "record 1 (NodeData): the entry of its owner is stale",
        ),
        (
            encode_image([WatchData(7, "/a", Token(b"t"))], 1),
            "record 1 (WatchData): connection 7 is not in the stream before it",
        ),
    ],
)
def test_a_file_that_is_cut_or_foreign_is_refused_and_left_alone(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    state = tmp_path / "state"
    state.write_bytes(content)
    refused = run("--rundir", str(tmp_path / "run"), "--state", str(state))
    assert refused.returncode == 5
    assert refused.stderr.startswith(f"xenstore-sim: {state}: {reason}")
    assert refused.stderr.endswith("put back a good copy, or move it away to begin afresh\n")
    assert refused.stderr.count("\n") == 1
    assert state.read_bytes() == content


def test_where_no_file_can_be_made_it_does_not_start(tmp_path: Path) -> None:
    state = tmp_path / "missing" / "state"
    refused = run("--rundir", str(tmp_path / "run"), "--state", str(state))
    assert refused.returncode == 5
    assert refused.stderr == (
        f"xenstore-sim: {state}: no file can be made beside it: No such file or directory:"
        " name one in a writable directory\n"
    )


def test_a_store_that_cannot_be_saved_leaves_the_former_file(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state")
    state.save((), 1)
    before = (tmp_path / "state").read_bytes()
    (tmp_path / ".state.new").mkdir()
    with pytest.raises(StateFileError, match="cannot be saved: Is a directory"):
        state.save([NodeData("/a", b"", OWNER)], 1)
    assert (tmp_path / "state").read_bytes() == before


def test_a_directory_that_does_not_reach_the_disk_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = os.fsync

    def fails_for_directories(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        synced(fd)

    state = StateFile(tmp_path / "state")
    state.save((), 1)
    monkeypatch.setattr(os, "fsync", fails_for_directories)
    with pytest.raises(StateFileError, match="the store is saved, and its directory does not"):
        state.save([NodeData("/", b"new", OWNER)], 1)
    assert state.load() == (NodeData("/", b"new", OWNER),)


def test_what_lies_at_the_name_beside_it_is_not_written_through(tmp_path: Path) -> None:
    other, beside = tmp_path / "other", tmp_path / ".state.new"
    other.write_text("not ours")
    beside.symlink_to(other)
    StateFile(tmp_path / "state").save((), 1)
    assert other.read_text() == "not ours"
    assert not (tmp_path / "state").is_symlink()

    beside.symlink_to(tmp_path / "missing")
    StateFile(tmp_path / "fresh").load()
    StateFile(tmp_path / "state").load()
    assert not (tmp_path / "missing").exists()


def test_the_file_is_its_users_alone_whatever_was_left_there(tmp_path: Path) -> None:
    left = tmp_path / ".state.new"
    left.write_text("")
    left.chmod(0o666)
    StateFile(tmp_path / "state").save((), 1)
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o600


def test_a_loop_of_links_and_a_pipe_are_refused(tmp_path: Path) -> None:
    loop, pipe = tmp_path / "loop", tmp_path / "pipe"
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    with pytest.raises(StateFileError, match="loop: Too many levels of symbolic links"):
        StateFile(loop).load()
    with pytest.raises(StateFileError, match="pipe: it is no regular file"):
        StateFile(pipe).load()


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    StateFile(tmp_path / "link").save((), 1)
    assert (tmp_path / "link").is_symlink()
    assert StateFile(tmp_path / "target").load() == ()
