"""Another program takes the daemon's place, and its clients notice no more than a pause."""

import os
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from tests.xenstore_sim.replaceable import COMMAND, TOOK_OVER, Replaceable, replaceable
from tests.xenstore_sim.ring.raw_guest import raw_guest
from xenstore_sim.client import Client
from xenstore_sim.ring.page import Field
from xenstore_sim.store.live_update import NOT_AVAILABLE
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.errors import RequestRefused
from xenstore_sim.wire.layout import HEADER_SIZE, encode_packet
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.perms import NodePerms

RESTARTS = 5
DOM3, DOM4 = DomId(3), DomId(4)


async def introduce(dom0: Client, domid: DomId) -> str:
    home = f"/local/domain/{domid}"
    await dom0.introduce(domid, 1, 1)
    await dom0.write(home, "")
    await dom0.set_perms(home, NodePerms.of(f"n{domid}"))
    return home


class Load:
    """Clients that check each answer, and go on until they are told to stop."""

    def __init__(self, daemon: Replaceable) -> None:
        self.daemon = daemon
        self.stopped = False
        self.done: dict[str, int] = {}

    def ran(self, name: str) -> None:
        """It got through one more of its rounds."""
        self.done[name] = self.done.get(name, 0) + 1

    async def writes_and_reads(self, client: Client, path: str) -> None:
        number = 0
        while not self.stopped:
            number += 1
            await client.write(path, str(number))
            assert await client.read(path) == str(number).encode()
            self.ran(path)

    async def hears_of_each(self, writer: Client, reader: Client, path: str) -> None:
        """Each node that is made is one event, none is lost and none comes twice."""
        async with reader.watch(path) as watch:
            assert (await watch.get()).path == path
            number = 0
            while not self.stopped:
                expected = [f"{path}/{number}", f"{path}/{number + 1}"]
                number += 2
                for each in expected:
                    await writer.write(each, "")
                assert [(await watch.get()).path for _ in expected] == expected
                await writer.rm(expected[0])
                await writer.rm(expected[1])
                assert [(await watch.get()).path for _ in expected] == expected
                self.ran(path)

    async def adds_in_transactions(self, client: Client, name: str) -> None:
        while not self.stopped:
            async with client.begin() as transaction:
                mine = int(await transaction.read(f"/sums/{name}"))
                await transaction.write(f"/sums/{name}", str(mine + 1))
            self.ran(name)

    async def pipelines(self) -> None:
        """Requests are sent without a look at the answers, which come in order."""
        stream = await trio.open_unix_socket(self.daemon.socket_path)
        async with stream, trio.open_nursery() as nursery:
            nursery.start_soon(self._read_replies, stream)
            number = 0
            while not self.stopped:
                number += 1
                # A portion ends in the middle of a request.
                request = encode_packet(Op.GET_DOMAIN_PATH, number, 0, b"7\0")
                await stream.send_all(request[:5])
                await stream.send_all(request[5:])
                self.sent = number
            await stream.send_eof()

    async def _read_replies(self, stream: trio.SocketStream) -> None:
        decoder, number = Decoder(), 0
        async for data in stream:
            decoder.feed(data)
            while (packet := decoder.next_packet()) is not None:
                number += 1
                assert packet[1:] == (number, 0, b"/local/domain/7\0")
                self.ran("pipelined")


async def test_under_load_nothing_is_lost_however_often_it_is_renewed(tmp_path: Path) -> None:
    async with (
        replaceable(tmp_path) as daemon,
        Client.connect(daemon.socket_path) as dom0,
        Client.connect(daemon.socket_path) as other,
    ):
        home3, home4 = await introduce(dom0, DOM3), await introduce(dom0, DOM4)
        for name in ("one", "two"):
            await dom0.write(f"/sums/{name}", "0")
        async with (
            Client.connect_ring(daemon.rundir / "ring" / "3") as dom3,
            Client.connect(daemon.rundir / "domain" / "4") as dom4,
        ):
            load = Load(daemon)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(load.writes_and_reads, dom0, "/a")
                nursery.start_soon(load.writes_and_reads, dom3, f"{home3}/a")
                nursery.start_soon(load.writes_and_reads, dom4, f"{home4}/a")
                nursery.start_soon(load.hears_of_each, other, dom0, "/watched")
                nursery.start_soon(load.hears_of_each, other, dom3, f"{home3}/watched")
                nursery.start_soon(load.hears_of_each, other, dom4, f"{home4}/watched")
                nursery.start_soon(load.adds_in_transactions, dom0, "one")
                nursery.start_soon(load.adds_in_transactions, other, "two")
                nursery.start_soon(load.pipelines)
                opened = None
                for _ in range(RESTARTS):
                    before = dict(load.done)
                    await daemon.renew()
                    # Everyone goes on before the next one.
                    while any(load.done.get(each, 0) == before.get(each) for each in load.done):
                        await trio.lowlevel.checkpoint()
                    opened = opened or daemon.descriptors()
                    # Those for what waits or ends meanwhile come and go.
                    while daemon.descriptors() > opened:
                        await trio.lowlevel.checkpoint()
                load.stopped = True
            assert load.done["pipelined"] == load.sent
            for name in ("one", "two"):
                assert await dom0.read(f"/sums/{name}") == str(load.done[name]).encode()


async def test_an_open_transaction_and_a_torn_request_live_on(tmp_path: Path) -> None:
    async with replaceable(tmp_path) as daemon, Client.connect(daemon.socket_path) as dom0:
        stream = await trio.open_unix_socket(daemon.socket_path)
        async with stream:
            request = encode_packet(Op.WRITE, 7, 0, b"/late\0v")
            await stream.send_all(request[:-3])
            async with dom0.begin() as transaction:
                await transaction.write("/a", "in a transaction")
                await daemon.renew()
                assert await transaction.read("/a") == b"in a transaction"
                with pytest.raises(RequestRefused, match="ENOENT"):
                    await dom0.read("/a")
            assert await dom0.read("/a") == b"in a transaction"
            assert not await dom0.exists("/late")
            await stream.send_all(request[-3:])
            assert len(await stream.receive_some()) == HEADER_SIZE + 3
            assert await dom0.read("/late") == b"v"


async def test_what_is_passed_on_is_passed_to_nothing_else(tmp_path: Path) -> None:
    """A connection that ends meanwhile must not live on in the next program."""
    async with replaceable(tmp_path) as daemon, Client.connect(daemon.socket_path) as dom0:
        await introduce(dom0, DOM3)
        async with Client.connect_ring(daemon.rundir / "ring" / "3"):
            await daemon.renew()
            assert inherited(daemon.process.pid) <= {0, 1, 2}


def inherited(pid: int) -> set[int]:
    """The descriptors that programs which this process starts would have, too."""
    flags = {
        int(info.name): int(info.read_text().partition("flags:")[2].split()[0], 8)
        for info in Path(f"/proc/{pid}/fdinfo").iterdir()
    }
    return {fd for fd, each in flags.items() if not each & os.O_CLOEXEC}


async def test_a_ring_goes_on_with_half_a_request_in_it_and_a_broken_one_stays_broken(
    tmp_path: Path,
) -> None:
    async with replaceable(tmp_path) as daemon, Client.connect(daemon.socket_path) as dom0:
        for domid in (DOM3, DOM4):
            await introduce(dom0, domid)
        async with (
            raw_guest(daemon.rundir / "ring" / "3") as guest,
            raw_guest(daemon.rundir / "ring" / "4") as broken,
        ):
            request = encode_packet(Op.GET_DOMAIN_PATH, 7, 0, b"3\0")
            await guest.send(request[:9])
            broken.page.fields[Field.REQ_PROD] = 4000
            broken.ring()
            while not broken.page.fields[Field.ERROR]:
                await dom0.read("/")
            await daemon.renew()
            await guest.send(request[9:])
            assert (await guest.receive())[1:] == (7, 0, b"/local/domain/3\0")
            assert broken.page.fields[Field.ERROR] == 2


async def test_a_domain_whose_client_broke_its_ring_and_left_is_passed_on_too(
    tmp_path: Path,
) -> None:
    async with replaceable(tmp_path) as daemon, Client.connect(daemon.socket_path) as dom0:
        await introduce(dom0, DOM3)
        async with raw_guest(daemon.rundir / "ring" / "3") as broken:
            broken.page.fields[Field.REQ_PROD] = 4000
            broken.ring()
            while not broken.page.fields[Field.ERROR]:
                await dom0.read("/")
        for _ in range(2):
            await daemon.renew()
            assert await dom0.is_domain_introduced(DOM3)
        # It is served again once it is another domain.
        await dom0.release(DOM3)
        await introduce(dom0, DOM3)
        async with Client.connect_ring(daemon.rundir / "ring" / "3") as dom3:
            await dom3.write("/local/domain/3/a", "v")


async def test_a_signal_to_stop_that_comes_meanwhile_is_obeyed_afterwards(tmp_path: Path) -> None:
    run, state = tmp_path / "run", tmp_path / "state"
    async with replaceable(run, "--state", str(state)) as daemon:
        async with Client.connect(daemon.socket_path) as dom0:
            await dom0.write("/a", "v")
        daemon.process.send_signal(signal.SIGUSR2)
        daemon.process.send_signal(signal.SIGTERM)
        with trio.fail_after(120):
            assert await daemon.process.wait() == 0
    assert b"/a\0v" in state.read_bytes()
    assert not any(path.is_socket() for path in run.rglob("*"))


async def asked(dom0: Client, *steps: tuple[str, ...]) -> list[str]:
    """What CONTROL live-update says to each."""
    return [await dom0.control("live-update", *step) for step in steps]


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Makes a shell script; gives its path."""

    def program(text: str) -> str:
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    return program


async def test_control_starts_another_program_with_other_arguments(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    run = tmp_path / "run"
    renewed = program(f'exec {sys.executable} -m xenstore_sim "$@"')
    async with replaceable(run) as daemon, Client.connect(daemon.socket_path) as dom0:
        await dom0.write("/a", "v")
        with pytest.raises(RequestRefused) as refused:
            await dom0.control("live-update", "-s", "-v", "1")
        assert refused.value.errno == Errno.EINVAL
        said = await asked(
            dom0, ("-f", renewed), ("-c", f"--rundir {run} --compat 4.22"), ("-s", "-t", "5")
        )
        assert said == ["OK", "OK", "OK"]
        assert await daemon.line() == TOOK_OVER
        assert await dom0.read("/a") == b"v"
        # What only 4.22 knows.
        with pytest.raises(RequestRefused) as gone:
            await dom0.control("live-update", "-s", "-v", "3")
        assert gone.value.errno == Errno.EINVAL
        assert await asked(dom0, ("-s", "-v", "1")) == ["Not in live-update session."]


UNFIT = (
    ("exit 7", None, "program does not take over, status 7: it said nothing"),
    ("echo words >&2; exit 1", None, "program does not take over, status 1: words"),
    ("exit 0", None, "program does not take over, status 0: it said nothing"),
    (r"printf '\342\200\224\000\033' >&2; exit 1", None, r"status 1: \u2014\x00\x1b"),
    ("printf '%05000d' 1 >&2; exit 1", None, f"status 1: {'0' * 500}"),
    ('exec PYTHON -m xenstore_sim "$@"', "--nonsense", "status 2: Error: No such option"),
    ('exec PYTHON -m xenstore_sim "$@"', "--rundir /x", "cannot move the daemon away from"),
    ('exec PYTHON -m xenstore_sim "$@"', "'", "The command line cannot be split"),
    ("exec /no/such/program", None, "does not take over, status 127"),
)
"""A program, its arguments, and why it cannot take over."""


async def test_what_does_not_take_over_leaves_the_daemon_as_it_was(
    tmp_path: Path, program: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with (
        replaceable(tmp_path / "run") as daemon,
        Client.connect(daemon.socket_path) as dom0,
    ):
        await dom0.write("/a/b", "")
        opened = daemon.descriptors()
        async with dom0.begin() as transaction, dom0.watch("/a") as watch:
            await watch.get()
            await transaction.write("/a/b", "v")
            for text, arguments, answer in UNFIT:
                path = program(text.replace("PYTHON", sys.executable))
                steps = [("-f", path), *([("-c", arguments)] if arguments else []), ("-s",)]
                *_, said = await asked(dom0, *steps)
                assert answer in said
                assert await daemon.line() == f"xenstore-sim: no live update: {said}"
                assert daemon.descriptors() == opened
                await dom0.write("/a", "v")
                assert (await watch.get()).path == "/a"
            # What is tried is what was named, not what PATH has by this name.
            program("exit 7")
            assert "status 7" in (await asked(dom0, ("-f", "program"), ("-s",)))[-1]
            assert "status 7" in await daemon.line()
            await daemon.renew()
            assert await transaction.read("/a/b") == b"v"
        assert await dom0.read("/a/b") == b"v"


async def test_what_cannot_be_a_program_is_refused_at_once(tmp_path: Path) -> None:
    async with replaceable(tmp_path) as daemon, Client.connect(daemon.socket_path) as dom0:
        said = await asked(dom0, ("-f", "/no/such"), ("-f", "/etc/passwd"), ("-f", str(tmp_path)))
        assert said == ["File not accessible.", "File not executable.", "File not executable."]


async def test_requests_behind_the_one_that_asks_are_answered_by_the_other_program(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    path = program(f'exec {sys.executable} -m xenstore_sim "$@"')
    async with replaceable(tmp_path / "run") as daemon:
        requests = [
            encode_packet(Op.CONTROL, 1, 0, f"live-update\0-f\0{path}\0".encode()),
            encode_packet(Op.CONTROL, 2, 0, b"live-update\0-s\0"),
            encode_packet(Op.GET_DOMAIN_PATH, 3, 0, b"7\0"),
            encode_packet(Op.CONTROL, 4, 0, f"live-update\0-f\0{path}\0".encode()),
        ]
        stream = await trio.open_unix_socket(daemon.socket_path)
        async with stream:
            await stream.send_all(b"".join(requests))
            decoder, replies = Decoder(), []
            while len(replies) < len(requests):
                decoder.feed(await stream.receive_some())
                while (packet := decoder.next_packet()) is not None:
                    replies.append((packet.req_id, packet.payload))
        assert replies == [(1, b"OK\0"), (2, b"OK\0"), (3, b"/local/domain/7\0"), (4, b"OK\0")]
        assert await daemon.line() == TOOK_OVER


HEEDLESS = """import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])"""
"""Starts a program whose children nobody is to wait for, as some shells and supervisors do."""


async def test_who_starts_the_daemon_need_not_care_for_its_children(tmp_path: Path) -> None:
    command = (sys.executable, "-c", HEEDLESS, *COMMAND)
    async with replaceable(tmp_path, command=command) as daemon:
        for _ in range(2):
            await daemon.renew()


async def test_a_name_that_no_state_can_carry_is_told(tmp_path: Path) -> None:
    async with replaceable(tmp_path, "-T", "log\udcff") as daemon:
        daemon.process.send_signal(signal.SIGUSR2)
        said = await daemon.line()
        assert said.startswith("xenstore-sim: no live update: ")
        assert "status 127: the state cannot be written: " in said
        assert "surrogates not allowed" in said


async def test_files_and_the_names_of_sockets_stay(tmp_path: Path) -> None:
    pid_file, log, state = tmp_path / "pid", tmp_path / "log", tmp_path / "state"
    run = tmp_path / "run"
    options = ("-F", str(pid_file), "-T", str(log), "--state", str(state))
    async with replaceable(run, *options) as daemon, Client.connect(daemon.socket_path) as dom0:
        await introduce(dom0, DOM3)
        log.rename(tmp_path / "rotated")
        sockets = {path: path.stat().st_ino for path in run.rglob("*") if path.is_socket()}
        await daemon.renew()
        await dom0.write("/a", "v")
        assert {path: path.stat().st_ino for path in run.rglob("*") if path.is_socket()} == sockets
        assert pid_file.read_text() == f"{daemon.process.pid}\n"
        assert "> WRITE req=" in (tmp_path / "rotated").read_text().splitlines()[-2]
        assert not log.exists()
    assert not pid_file.exists()
    assert state.exists()
    assert not any(path.is_socket() for path in run.rglob("*"))


async def test_a_pid_file_that_cannot_be_written_any_more_ends_no_daemon(tmp_path: Path) -> None:
    """It has all connections by then, and nobody else has them."""
    pid_file = tmp_path / "gone" / "pid"
    pid_file.parent.mkdir()
    async with (
        replaceable(tmp_path / "run", "-F", str(pid_file)) as daemon,
        Client.connect(daemon.socket_path) as dom0,
    ):
        shutil.rmtree(pid_file.parent)
        daemon.process.send_signal(signal.SIGUSR2)
        assert await daemon.line() == (
            f"xenstore-sim: the pid file {pid_file}: No such file or directory:"
            " name one in a writable directory"
        )
        assert await daemon.line() == TOOK_OVER
        await dom0.write("/a", "v")
        assert await dom0.read("/a") == b"v"


async def test_a_program_with_another_pid_file_leaves_no_former_one(
    tmp_path: Path, program: Callable[[str], str]
) -> None:
    run, former, new = tmp_path / "run", tmp_path / "former", tmp_path / "new"
    renewed = program(f'exec {sys.executable} -m xenstore_sim "$@"')
    async with (
        replaceable(run, "-F", str(former)) as daemon,
        Client.connect(daemon.socket_path) as dom0,
    ):
        assert former.exists()
        arguments = f"--rundir {run} -F {new}"
        assert await asked(dom0, ("-f", renewed), ("-c", arguments), ("-s",)) == ["OK"] * 3
        assert await daemon.line() == TOOK_OVER
        assert new.read_text() == f"{daemon.pid}\n"
        assert not former.exists()
    assert not new.exists()


async def test_who_connects_during_the_pause_is_served_after_it(tmp_path: Path) -> None:
    async with replaceable(tmp_path) as daemon:
        daemon.process.send_signal(signal.SIGUSR2)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as late:
            late.connect(str(daemon.socket_path))
            late.sendall(encode_packet(Op.GET_DOMAIN_PATH, 3, 0, b"7\0"))
            assert await daemon.line() == TOOK_OVER
            assert late.recv(100).endswith(b"/local/domain/7\0")


async def test_a_daemon_inside_another_program_is_not_replaced(dom0: Client) -> None:
    assert await asked(dom0, ("-f", "/bin/true")) == [NOT_AVAILABLE]
