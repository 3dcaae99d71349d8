"""CONTROL, requests about domains, and what they say a domain uses: ours against the real daemon.

Texts are compared to the byte, but for words that explain: those are each daemon's own.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.oracle.raw_client import RawClient
from tests.oracle.real_xenstored import RealXenstored
from tests.xenstore_sim.conversations import Peer, Raw, Stage
from xenstore_sim.log_file import LogFile
from xenstore_sim.store.daemon import Settings
from xenstore_sim.wire.compat import COMPAT_4_17
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.layout import Packet
from xenstore_sim.wire.ops import Op

XENSTORE_CONTROL = "/usr/lib/xen-4.17/bin/xenstore-control"
DOMAINS = (5, 6)
DEADLINE_S = 30

Heard = tuple[int, bytes]
"""The type and payload of a message."""


class Pair:
    """Both daemons, with a dom0 client each; domains exist in both."""

    def __init__(self, real: RealXenstored, directory: Path) -> None:
        self.real = real
        self.stage = Stage(
            Settings(COMPAT_4_17),
            exists=lambda domid: domid in (0, *DOMAINS),
            log=LogFile(directory),
        )
        self.clients: dict[int, tuple[RawClient, Peer]] = {0: (real.connect(), self.stage.dom0)}

    def introduce(self, domid: int) -> None:
        """Let the domain be known, and connected."""
        theirs = self.real.introduce(self.clients[0][0], domid)
        self.clients[domid] = theirs, self.stage.domain(domid)

    def ask(self, domid: int, op: int, payload: bytes, tx: int = 0) -> tuple[Heard, ...]:
        """What the domain hears by this request, from both alike. Raises: AssertionError."""
        theirs, ours = self.clients[domid]
        theirs.send(op, payload, tx_id=tx)
        first = theirs.receive()
        expected = [(each.type, each.payload) for each in (first, *theirs.flush())]
        decoder = Decoder()
        decoder.feed(self.stage.send(ours, tx, Raw(op, payload)))
        found = [(packet.type, packet.payload) for packet in _packets(decoder)]
        assert _without_words(found) == _without_words(expected), f"request {op} {payload!r}"
        return tuple(expected)

    def let_events_be_read(self) -> None:
        """Everyone takes what waits."""
        for theirs, ours in self.clients.values():
            theirs.flush()
            self.stage.take(ours)


def _packets(decoder: Decoder) -> Iterator[Packet]:
    while (packet := decoder.next_packet()) is not None:
        yield packet


def _without_words(heard: list[Heard]) -> list[Heard]:
    """The same less descriptions of quotas, indented lines of help, and live-update's sentences."""
    cut = []
    for type_, payload in heard:
        text = re.sub(rb"(?m)^([a-z-]+ *: +[0-9]+) .*$", rb"\1", payload)
        text = re.sub(rb"(?m)^    .*\n", b"", text)
        cut.append((type_, text))
    return cut


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with RealXenstored() as real:
        yield Pair(real, tmp_path)


def strings(*texts: str) -> bytes:
    return "".join(f"{text}\0" for text in texts).encode()


# ---------------------------------------------------------------- texts


def test_commands_are_answered_alike(pair: Pair, tmp_path: Path) -> None:
    log, missing = str(tmp_path / "log"), str(tmp_path / "missing" / "log")
    for command in (
        ("help",), ("help", "x"), ("Help",), ("help ",), ("",), ("nonsense",),
        ("check",), ("check", "x"),
        ("memreport",), ("log", "on"), ("memreport",), ("log", "off"),
        ("log",), ("log", "x"), ("log", "+io"), ("log", "on", "off"),
        ("logfile",), ("logfile", log, "b"), ("logfile", missing), ("log", "off"), ("log", "on"),
        ("memreport",), ("logfile", log), ("memreport",), ("log", "off"), ("memreport",),
        ("memreport", log), ("memreport", missing), ("memreport", log, log),
        ("print",), ("print", "x"), ("print", "a", "b"),
        ("quota",), ("quota-soft",), ("quota", "0"), ("quota", "9"), ("quota", "x"),
        ("quota", "max"), ("quota", "max", "-r"), ("quota", "1", "2"), ("quota-soft", "0"),
        ("quota", "set"), ("quota", "set", "nodes"), ("quota", "set", "nodes", "0"),
        ("quota", "set", "nodes", "-1"), ("quota", "set", "nodes", "5x"),
        ("quota", "set", "cows", "5"), ("quota", "set", "nodes", "5", "6"),
        ("quota", "set", "soft-memory", "5"), ("quota", "set", "permissions", "7"),
        ("quota", "set", "node-permissions", "5"), ("quota", "set", "path-max", "5000"),
        ("quota", "set", "node-size", "3000"), ("quota", "set", "transaction-nodes", "11"),
        ("quota-soft", "set", "nodes", "5"), ("quota-soft", "set", "memory", "5"),
        ("quota-soft", "set", "memory"), ("quota",), ("quota-soft",),
        ("live-update",), ("live-update", "-z"), ("live-update", "-f"),
        ("live-update", "-a"), ("live-update", "-a", "x"), ("live-update", "-c", "x"),
        ("live-update", "-s"), ("live-update", "-s", "-F", "-t", "5"), ("live-update", "-s", "-t"),
        ("live-update", "-s", "-v", "1"),
    ):  # fmt: skip
        pair.ask(0, Op.CONTROL, strings(*command))


def test_xenstore_control_prints_alike(tmp_path: Path) -> None:
    commands = (
        ("help",), ("check",), ("quota", "0"), ("quota", "9"), ("print", "x"), ("log", "on"),
        ("log", "loud"), ("nonsense",), ("quota", "set", "nodes", "7"), ("quota",),
    )  # fmt: skip
    with RealXenstored() as real:
        theirs = [_xenstore_control(real.socket_path, command) for command in commands]
    readable, writable = os.pipe()
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "xenstore_sim", "--rundir", str(tmp_path)),
            *("--compat", "4.17", "--ready-fd", str(writable)),
        ],
        pass_fds=[writable],
        stderr=subprocess.DEVNULL,
    ) as process:
        os.close(writable)
        try:
            assert os.read(readable, 100) == b"ready\n"
            ours = [_xenstore_control(tmp_path / "socket", command) for command in commands]
        finally:
            os.close(readable)
            process.kill()
    assert ours == theirs


def _xenstore_control(socket: Path, command: tuple[str, ...]) -> tuple[int, list[Heard]]:
    done = subprocess.run(
        [XENSTORE_CONTROL, *command],
        env={"XENSTORED_PATH": str(socket)},
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    return done.returncode, _without_words([(1, done.stdout), (2, done.stderr)])


# ---------------------------------------------------------------- requests about domains

_DOMIDS = (
    b"", b"\0", b"5", b"5\0", b"x\0", b"-1\0", b"5\0x\0", b"0\0", b"9\0", b"32752\0", b"65535\0",
    b"65536\0", b"99999999999\0", b" 5\0", b"5x\0", b"007\0", b"0x5\0",
)  # fmt: skip


@pytest.mark.parametrize("introduced", [False, True])
def test_requests_about_domains_are_answered_alike(pair: Pair, introduced: bool) -> None:
    if introduced:
        pair.introduce(5)
    for op in (Op.GET_DOMAIN_PATH, Op.IS_DOMAIN_INTRODUCED, Op.RESUME):
        for payload in _DOMIDS:
            pair.ask(0, op, payload)
    for payload in (
        b"", b"5\0", b"5\0001\0", b"5\0001\0000\0", b"x\0001\0000\0", b"5\0001\0000\0x\0",
        b"5\0001\0001",
    ):  # fmt: skip
        pair.ask(0, Op.INTRODUCE, payload)
    for payload in (
        b"", b"5\0", b"5\0006\0", b"6\0005\0", b"0\0005\0", b"5\0000\0", b"x\0y\0", b"5\0006",
        b"32752\0000\0",
    ):  # fmt: skip
        pair.ask(0, Op.SET_TARGET, payload)
    for payload in _DOMIDS:
        pair.ask(0, Op.RELEASE, payload)


def test_what_a_domain_may_not_is_refused_alike(pair: Pair) -> None:
    pair.introduce(5)
    for op in (*range(28), 65535):
        if op not in (Op.WATCH_EVENT, Op.WATCH, Op.UNWATCH):
            pair.ask(5, op, b"5\0")
            pair.ask(5, op, b"5\0", tx=77)


# ---------------------------------------------------------------- use


def usage(pair: Pair, domid: int = 5) -> dict[str, int]:
    """What both say that the domain uses."""
    ((_, payload),) = pair.ask(0, Op.CONTROL, strings("quota", str(domid)))
    lines = payload.decode().rstrip("\0").splitlines()[1:]
    return {name.strip(): int(number) for name, _, number in (x.partition(":") for x in lines)}


def test_a_domains_use_is_counted_alike(pair: Pair) -> None:
    for domid in DOMAINS:
        pair.introduce(domid)
    seen = [usage(pair)]
    for domid, tx, op, payload in (
        (0, 0, Op.MKDIR, b"/p\0"),
        (0, 0, Op.SET_PERMS, strings("/p", "b5", "r6")),
        (5, 0, Op.MKDIR, b"/p/x\0"),
        (5, 0, Op.WRITE, b"/p/x\0value"),
        (5, 0, Op.SET_PERMS, strings("/p/x", "n5", "r3")),
        (6, 0, Op.WATCH, strings("/p", "six")),
        (5, 0, Op.WATCH, strings("/p", "token")),
        (5, 0, Op.WATCH, strings("relative", "")),
        (0, 0, Op.WRITE, b"/p/a/b/c\0" + bytes(100)),
        (5, 0, Op.UNWATCH, strings("/p", "token")),
        (5, 0, Op.TRANSACTION_START, b"\0"),
        (5, 1, Op.RM, b"/p/missing\0"),
        (5, 1, Op.TRANSACTION_END, b"F\0"),
        (5, 0, Op.TRANSACTION_START, b"\0"),
        (5, 2, Op.MKDIR, b"/p/y\0"),
        (5, 2, Op.TRANSACTION_END, b"T\0"),
        (0, 0, Op.SET_PERMS, strings("@releaseDomain", "n5")),
        (0, 0, Op.SET_PERMS, strings("/p/y", "n6")),
        (5, 0, Op.RM, b"/p/x\0"),
        (5, 0, Op.RESET_WATCHES, b""),
        (0, 0, Op.RM, b"/p\0"),
    ):
        pair.ask(domid, op, payload, tx)
        if not (tx and op != Op.TRANSACTION_END):
            pair.let_events_be_read()
            # In a transaction C's count has the length of its number among all there ever were.
            seen.append(usage(pair))
            usage(pair, 6)
            usage(pair, 0)
    assert seen[0] == seen[-1] == dict.fromkeys(seen[0], 0)
    assert max(each["memory"] for each in seen) > 300


def test_the_hard_memory_quota_refuses_alike(pair: Pair) -> None:
    pair.introduce(5)
    pair.ask(0, Op.MKDIR, b"/p\0")
    pair.ask(0, Op.SET_PERMS, strings("/p", "b5"))
    bound = usage(pair)["memory"] + 46
    pair.ask(0, Op.CONTROL, strings("quota", "set", "memory", str(bound)))
    for domid, op, payload in (
        (5, Op.MKDIR, b"/p/0123456789\0"),
        (0, Op.MKDIR, b"/p/0123456789\0"),
        (5, Op.WATCH, strings("/p", "t" * 44)),
        (5, Op.MKDIR, b"/p/0\0"),
        (5, Op.RM, b"/p/0\0"),
        (5, Op.MKDIR, b"/p/1\0"),
        (0, Op.MKDIR, b"/q\0"),
    ):
        pair.ask(domid, op, payload)
        usage(pair)
    room = bound - usage(pair)["memory"]
    # The watch fits, to the byte, and its first event does not: it is lost.
    assert pair.ask(5, Op.WATCH, strings("/p", "t" * (room - 3))) == ((Op.WATCH, b"OK\0"),)
    pair.ask(5, Op.UNWATCH, strings("/p", "t" * (room - 3)))
    assert (Op.ERROR, b"EIO\0") in pair.ask(5, Op.MKDIR, b"/p/2\0")
    assert (Op.ERROR, b"ENOMEM\0") in pair.ask(5, Op.WATCH, strings("/p", "t" * 44))


def test_a_request_waits_alike_for_the_readers_of_its_events(pair: Pair) -> None:
    for domid in DOMAINS:
        pair.introduce(domid)
    pair.ask(0, Op.MKDIR, b"/p\0")
    pair.ask(0, Op.SET_PERMS, strings("/p", "b5", "r6"))
    for number in range(3):
        # An event of this size fills a ring, so that the next ones wait in the daemon.
        pair.ask(6, Op.WATCH, strings("/p", f"{number}" + "k" * 1000))
    # Each daemon is asked by itself: `ask` would let both watchers read.
    theirs, ours = pair.clients[5]
    theirs.send(Op.WRITE, b"/p\0v")
    assert theirs.receive().type == Op.WRITE
    pair.stage.send(ours, 0, Raw(Op.WRITE, b"/p\0v"))
    assert usage(pair)["outstanding"] == 1
    pair.clients[6][0].flush()
    pair.stage.take(pair.clients[6][1])
    assert usage(pair)["outstanding"] == 0
