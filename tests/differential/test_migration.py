"""The real xenstored's own live update: we read what it leaves, and it goes on with our store."""

import os
import select
from collections.abc import Callable, Iterator

import pytest

from tests.oracle.raw_client import ERROR, RawClient
from tests.oracle.real_xenstored import XENSTORED, RealXenstored
from tests.xenstore_sim.conversations import NO_TX, Stage, says
from xenstore_sim.migration.decoder import decode_image
from xenstore_sim.migration.encoder import encode_image
from xenstore_sim.migration.handing_on import restore, save_store
from xenstore_sim.migration.records import (
    ConnectionData,
    GlobalData,
    NodeData,
    Record,
    RingEnd,
    SocketEnd,
    WatchData,
)
from xenstore_sim.store.daemon import Daemon, Settings
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.compat import COMPAT_4_17
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.names import DomId, Token
from xenstore_sim.wire.ops import Op

DEADLINE_S = 30
Edit = Callable[[bytes], bytes]


class Update:
    """A live update of the real daemon to itself, that stops between the two programs."""

    def __init__(self, real: RealXenstored) -> None:
        self._real = real
        self._program = real.directory / "program"
        for name in ("dumped", "go"):
            os.mkfifo(real.directory / name)
        # Open for both, so that nobody waits for the other to open it.
        self._dumped, self._go = (
            os.open(real.directory / name, os.O_RDWR) for name in ("dumped", "go")
        )
        # What the stub told once it does not tell again.
        self._program.write_text(
            f"""#!/bin/sh
unset XENSTORED_STUB_READY_FD
cd {real.directory}
echo > dumped
read line < go
exec {XENSTORED} "$@"
"""
        )
        self._program.chmod(0o700)

    def run(self, asker: RawClient, edit: Edit) -> bytes:
        """What the first program left. edit: what the second is to find in its place."""
        assert asker.ask(Op.CONTROL, "live-update", "-f", str(self._program)).type != ERROR
        self._real.offer_virq_again()
        asker.send(Op.CONTROL, b"live-update\0-s\0")
        assert select.select([self._dumped], [], [], DEADLINE_S)[0], "no state was left"
        dump = self._real.directory / "state_dump"
        left = dump.read_bytes()
        dump.write_bytes(edit(left))
        os.write(self._go, b"\n")
        reply = asker.receive()
        assert (reply.type, reply.payload) == (Op.CONTROL, b"OK\0")
        return left

    def close(self) -> None:
        os.close(self._dumped)
        os.close(self._go)


@pytest.fixture
def update(real_xenstored: RealXenstored) -> Iterator[Update]:
    update = Update(real_xenstored)
    yield update
    update.close()


def contents(client: RawClient, path: str = "/") -> dict[str, tuple[bytes, bytes]]:
    """Value and permissions of every node that the client sees."""
    found = {path: (client.ask(Op.READ, path).payload, client.ask(Op.GET_PERMS, path).payload)}
    for name in client.ask(Op.DIRECTORY, path).payload.decode().split("\0")[:-1]:
        found |= contents(client, f"{path.rstrip('/')}/{name}")
    return found


def our_contents(daemon: Daemon) -> dict[str, tuple[bytes, bytes]]:
    """The same of a core of ours."""
    return {
        path: (node.value, str(node.perms).replace(",", "\0").encode() + b"\0")
        for path, node in daemon.nodes()
    }


def test_we_read_what_the_real_one_leaves_and_would_have_written_the_same(
    real_xenstored: RealXenstored, update: Update
) -> None:
    dom0, other = real_xenstored.connect(), real_xenstored.connect()
    dom5 = real_xenstored.introduce(dom0, 5)
    for path, value, perms in (
        ("/a/b", "v" * 5, ("b0", "r5")),
        ("/a/c", "", ("n0", "w7")),
        ("/local/domain/5", "", ("n5",)),
        ("/local/domain/5/x", "\1", ("n5", "r0")),
    ):
        dom0.send(Op.WRITE, f"{path}\0{value}".encode())
        assert dom0.receive().type == Op.WRITE
        assert dom0.ask(Op.SET_PERMS, path, *perms).type == Op.SET_PERMS
    assert dom5.ask(Op.WATCH, "x", "token").type == Op.WATCH
    dom5.receive()
    half = encode_packet(Op.READ, 1, 0, b"/a/b\0")[:19]
    other.transport.send(half)
    before = contents(dom0)
    left = update.run(dom0, lambda left: left)
    image = decode_image(left)
    assert image.size == len(left)
    assert encode_image(image.records, image.version) == left
    assert image.version == 1
    connections = [each for each in image.records if isinstance(each, ConnectionData)]
    assert half in [each.received for each in connections]
    domain = next(each for each in connections if each.end == RingEnd(DomId(5), None, 3))
    assert WatchData(domain.conn_id, "x", Token(b"token")) in image.records
    ours = Daemon(Settings(COMPAT_4_17))
    restore(ours, image.records)
    assert our_contents(ours) == before
    assert contents(dom0) == before, "and the real one goes on"
    records = save_store(ours)
    nodes = [each for each in image.records if isinstance(each, NodeData)]
    assert sorted(map(repr, nodes)) == sorted(
        repr(each) for each in records if isinstance(each, NodeData)
    )


def test_the_real_one_goes_on_with_our_store(real_xenstored: RealXenstored, update: Update) -> None:
    stage = Stage(Settings(COMPAT_4_17))
    dom5 = stage.domain(5)
    for path, value, perms in (
        ("/b/deep/er", b"\0\xff", ("n0", "r5", "b6")),
        ("/b/second", b"v" * 4000, ("w0",)),
        ("/local/domain/5", b"", ("n5",)),
    ):
        stage.ask(stage.dom0, NO_TX, m.Write(path, value))
        stage.converse(says(stage.dom0, NO_TX, m.SetPerms(path, perms)))
    stage.converse(
        says(dom5, NO_TX, m.Write("mine", b"5")),
        says(stage.dom0, NO_TX, m.Rm("/tool/xenstored")),
    )
    dom0 = real_xenstored.connect()
    real_xenstored.create_domain(5)
    real_xenstored.ring(5)
    ours = save_store(stage.daemon)

    def edit(left: bytes) -> bytes:
        """Its own connections and our store."""
        image = decode_image(left)
        theirs: tuple[Record, ...] = tuple(
            each for each in image.records if isinstance(each, GlobalData | ConnectionData)
        )
        return encode_image((*theirs, *_renumbered(ours)), image.version)

    update.run(dom0, edit)
    assert contents(dom0) == our_contents(stage.daemon)
    assert dom0.ask(Op.IS_DOMAIN_INTRODUCED, "5").payload == b"T\0"
    assert dom0.ask(Op.CONTROL, "check").payload == b"OK\0"


def _renumbered(records: tuple[Record, ...]) -> Iterator[Record]:
    """With numbers of connections that the real one does not use."""
    for each in records:
        if isinstance(each, ConnectionData):
            assert not isinstance(each.end, SocketEnd)
            yield ConnectionData(each.conn_id + 1000, each.end)
        else:
            yield each
