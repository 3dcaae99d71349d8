"""Anything may arrive: programs of a fuzzer on the daemon's core, and what it found before."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.__main__ import GOLDEN, campaign
from tests.fuzz.grammar import Grammar
from tests.fuzz.player import Failure, Player, play
from tests.fuzz.program import COMPATS, DOMAINS, Kind, Program, Step
from tests.fuzz.shrink import shrunk
from tests.fuzz.soundness import unsound, world_of
from xenstore_sim.store.daemon import Daemon
from xenstore_sim.wire.compat import COMPAT_4_20
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.names import ROOT, absolute_path
from xenstore_sim.wire.ops import Op

EXAMPLES = 60


class DrawnChoices:
    """Decisions of Hypothesis, which remembers and shrinks them."""

    def __init__(self, data: st.DataObject) -> None:
        self._draw = data.draw

    def number(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def noise(self, most: int) -> bytes:
        return self._draw(st.binary(max_size=most))


@given(st.data())
@settings(max_examples=EXAMPLES)
def test_whatever_peers_do_the_daemon_stays_sound_and_serves_the_others(
    data: st.DataObject,
) -> None:
    play(Grammar(DrawnChoices(data), steps_max=12).program())


def test_a_seeded_campaign_finds_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert campaign(seed=1, first=0, programs=60, seconds=None, directory=tmp_path) == 0
    assert "60 programs" in capsys.readouterr().out


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("fuzz_*.bin")), ids=lambda path: path.stem)
def test_what_was_found_once_stays_mended(path: Path) -> None:
    play(Program.decode(path.read_bytes()))


# ---------------------------------------------------------------- the fuzzer itself


@given(st.data())
@settings(max_examples=EXAMPLES)
def test_a_program_survives_as_bytes(data: st.DataObject) -> None:
    program = Grammar(DrawnChoices(data), steps_max=5).program()
    assert Program.decode(program.encode()) == program


def write(path: bytes) -> bytes:
    return encode_packet(Op.WRITE, 1, 0, path + b"\0v")


def test_a_failing_program_is_made_small() -> None:
    steps = [Step(Kind.CONNECT, domid) for domid in DOMAINS]
    steps += [Step(Kind.FEED, number % 3, write(b"x%d" % number)) for number in range(20)]

    def fails(program: Program) -> bool:
        return any(b"x17" in step.data for step in program.steps)

    small = shrunk(Program(COMPAT_4_20, tuple(steps)), fails)
    assert [step.data for step in small.steps] == [b"x17"]


def sound_daemon() -> Daemon:
    """With a node, a watch and a transaction of everybody."""
    player = Player(COMPAT_4_20, trusted=False)
    requests = write(b"x/y") + encode_packet(Op.WATCH, 1, 0, b"x\0t\0")
    requests += encode_packet(Op.TRANSACTION_START, 1, 0, b"\0")
    player.play(
        tuple(
            Step(kind, number, data)
            for number, domid in enumerate(DOMAINS)
            for kind, number, data in (
                (Kind.CONNECT, domid, b""),
                (Kind.FEED, number, requests),
            )
        )
    )
    return player.daemon


def lose_child(daemon: Daemon) -> None:
    tree = world_of(daemon).tree
    root = tree.get(ROOT)
    assert root is not None
    tree.put(ROOT, root.without_child("local"))


def keep_orphan(daemon: Daemon) -> None:
    world_of(daemon).tree.remove(absolute_path("/local/domain/1/x"))


def miscount_nodes(daemon: Daemon) -> None:
    world_of(daemon).accounts.of(DOMAINS[0]).nodes += 1


def miscount_bytes(daemon: Daemon) -> None:
    world_of(daemon).accounts.of(DOMAINS[0]).bytes -= 1


def leave_watch(daemon: Daemon) -> None:
    world = world_of(daemon)
    del world.connections[world.by_domain[DOMAINS[0]]]


def leave_connection(daemon: Daemon) -> None:
    world_of(daemon).domains.forget(DOMAINS[0])


def miscount_outbox(daemon: Daemon) -> None:
    world = world_of(daemon)
    world.connections[world.by_domain[DOMAINS[0]]].outbox.waiting += 1


def leave_command(daemon: Daemon) -> None:
    world = world_of(daemon)
    world.notifier.woken[world.by_domain[DOMAINS[0]]] = None


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lose_child, "exists and / does not list it"),
        (keep_orphan, "is listed by /local/domain/1 and missing"),
        (miscount_nodes, "domain 1 has 4 nodes"),
        (miscount_bytes, "domain 1 has 3 nodes"),
        (leave_watch, "a watch on /local/domain/1/x of connection 3, which is closed"),
        (leave_connection, "which is not introduced"),
        (miscount_outbox, "holds others"),
        (leave_command, "left to be told"),
    ],
)
def test_damage_is_seen(damage: Callable[[Daemon], None], told: str) -> None:
    daemon = sound_daemon()
    assert unsound(daemon) == ()
    damage(daemon)
    assert told in "; ".join(unsound(daemon))


def test_a_wrong_answer_to_a_witness_is_seen() -> None:
    player = Player(COMPAT_4_20, trusted=False)
    player.daemon.disconnect(player.dom0)
    with pytest.raises(Failure, match="a client that means well heard"):
        player.play((Step(Kind.CONNECT, 1),))


def test_every_release_is_fuzzed() -> None:
    assert {compat.name for compat in COMPATS} == {"4.17", "4.20", "4.22"}
