"""What is measured: scenes that are prepared once on each daemon, with the rows played in them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.xenstore.memory import large_store
from benchmarks.xenstore.stage import BENCH, HOME, Stage
from benchmarks.xenstore.steps import Step, Tx, text
from xenstore_sim.wire.ops import Op

VALUE: Final = b"0123456789abcdef"
OTHER: Final = b"fedcba9876543210"
NODE: Final = f"{BENCH}/node"
LARGE: Final = 100_000
"""Nodes of a large store."""
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Row:
    """A round of requests, and how much faster than C ours is to be."""

    name: str
    steps: Callable[[Stage], Sequence[Step]]
    parts: int = 1
    """Of a round; the table shows the time of one."""
    pinned_aim: float = 1.0
    unpinned_aim: float = 1.5


@dataclass(frozen=True, slots=True)
class Scene:
    """A state of the store and the connections."""

    prepare: Callable[[Stage], None]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of what the names of the rows say; smaller ones only try the benchmark itself."""

    divisor: int = 1

    def of(self, size: int) -> int:
        """At least 1."""
        return max(1, size // self.divisor)


def read(port: int, path: str = NODE, times: int = 1) -> Step:
    """READ of `VALUE`."""
    return Step.ask(port, Op.READ, text(path), VALUE, times=times)


def write(port: int, path: str = NODE, value: bytes = VALUE) -> Step:
    """WRITE."""
    return Step.ask(port, Op.WRITE, text(path) + value)


def make_and_remove(stage: Stage, path: str) -> tuple[Step, ...]:
    """MKDIR, RM."""
    payload = text(path)
    return (Step.ask(stage.dom0, Op.MKDIR, payload), Step.ask(stage.dom0, Op.RM, payload))


def listing(stage: Stage, path: str, children: Sequence[str]) -> tuple[Step, ...]:
    """DIRECTORY."""
    return (Step.ask(stage.dom0, Op.DIRECTORY, text(path), text(*children)),)


def read_modify_write(port: int, path: str = NODE) -> tuple[Step, ...]:
    """A transaction of one READ and one WRITE."""
    return (
        Step.begin(port),
        Step.ask(port, Op.READ, text(path), VALUE, tx=Tx.WITHIN),
        Step.ask(port, Op.WRITE, text(path) + VALUE, tx=Tx.WITHIN),
        Step.end(port),
    )


def conflict(stage: Stage) -> tuple[Step, ...]:
    """The same, but another client changes the node meanwhile, and back afterwards."""
    other = stage.connect()
    begin, got, put, _ = read_modify_write(stage.dom0)
    return (
        *(begin, got, write(other, value=OTHER), put),
        Step.end(stage.dom0, b"EAGAIN\0"),
        write(other),
    )


def names(count: int) -> tuple[str, ...]:
    """Of three characters, in order: 1,000 of them fit a message."""
    base = len(_DIGITS)
    return tuple("c" + _DIGITS[number // base] + _DIGITS[number % base] for number in range(count))


def scenes(scale: Scale) -> tuple[Scene, ...]:
    """All of them."""
    return (
        Scene(one_node, basic_rows()),
        Scene(one_node, concurrent_rows()),
        *(watched_scene(scale, count) for count in (1_000, 10_000)),
        Scene(one_node, (fan_out_row(scale),)),
        directory_scene(scale),
        Scene(home_node, ring_rows()),
        large_scene(scale),
    )


def one_node(stage: Stage) -> None:
    """A node with a value and a directory of ten."""
    stage.write(NODE, VALUE)
    stage.make(f"{BENCH}/ten/{name}" for name in names(10))


def basic_rows() -> tuple[Row, ...]:
    """One client, one request after the other."""
    return (
        Row("read", lambda stage: (read(stage.dom0),)),
        Row("write", lambda stage: (write(stage.dom0),)),
        Row("directory of 10", lambda stage: listing(stage, f"{BENCH}/ten", names(10))),
        Row("mkdir + rm", lambda stage: make_and_remove(stage, f"{BENCH}/new")),
        Row("transaction, empty", lambda stage: (Step.begin(stage.dom0), Step.end(stage.dom0))),
        Row("transaction, read + write", lambda stage: read_modify_write(stage.dom0)),
        Row("transaction, conflict", conflict),
        Row("connect, read, hang up", visit),
        Row("50 reads pipelined, each", pipelined_reads, 50, 3.0, 3.0),
        Row("50 writes pipelined, each", pipelined_writes, 50, 3.0, 3.0),
    )


def visit(stage: Stage) -> tuple[Step, ...]:
    """A connection for one request."""
    port = stage.unconnected()
    return stage.visit(port, read(port))


def pipelined_reads(stage: Stage) -> tuple[Step, ...]:
    """All requests are sent before the first answer is taken."""
    return (read(stage.dom0, times=50),)


def pipelined_writes(stage: Stage) -> tuple[Step, ...]:
    """All requests are sent before the first answer is taken."""
    return (Step.ask(stage.dom0, Op.WRITE, text(NODE) + VALUE, times=50),)


def concurrent_rows() -> tuple[Row, ...]:
    """Each client sends before the first takes its answer."""
    return (
        Row("64 clients read at once, each", lambda stage: at_once(stage, read), 64),
        Row("64 clients write at once, each", lambda stage: at_once(stage, write), 64),
    )


def at_once(stage: Stage, request: Callable[[int], Step]) -> tuple[Step, ...]:
    """The request by 64 clients."""
    asked = [request(stage.connect()) for _ in range(64)]
    return (
        *(Step(step.port, step.sent) for step in asked),
        *(Step(step.port, b"", 1, step.type, step.expected) for step in asked),
    )


def watched_scene(scale: Scale, count: int) -> Scene:
    """Watches that a write does not touch, of ten clients."""

    def prepare(stage: Stage) -> None:
        one_node(stage)
        if stage.floor:
            return
        for client in range(10):
            paths = (f"/foreign/{client}/{number}" for number in range(scale.of(count) // 10))
            stage.watch(stage.connect(), paths)

    aim = 10.0 if count >= 10_000 else 1.0
    unpinned = max(aim, 1.5)
    row = Row(
        f"write, {count:,} foreign watches",
        lambda stage: (write(stage.dom0),),
        pinned_aim=aim,
        unpinned_aim=unpinned,
    )
    return Scene(prepare, (row,))


def fan_out_row(scale: Scale) -> Row:
    """A write that a hundred clients are told of."""

    def steps(stage: Stage) -> tuple[Step, ...]:
        watchers = [stage.connect() for _ in range(scale.of(100))]
        for port in watchers:
            stage.watch(port, [NODE])
        event = text(NODE, "token")
        return (
            write(stage.dom0),
            *(Step(port, b"", 1, Op.WATCH_EVENT, event) for port in watchers),
        )

    return Row("write told to 100 watchers", steps)


def directory_scene(scale: Scale) -> Scene:
    """Many children of one node."""
    children = names(scale.of(1_000))
    path = f"{BENCH}/many"

    def prepare(stage: Stage) -> None:
        stage.make(f"{path}/{name}" for name in children)

    return Scene(
        prepare,
        (
            Row("directory of 1,000", lambda stage: listing(stage, path, children)),
            Row("mkdir + rm among 1,000", lambda stage: make_and_remove(stage, f"{path}/new")),
        ),
    )


def home_node(stage: Stage) -> None:
    """A node of the domain's own."""
    stage.write(f"{HOME}/node", VALUE)


def ring_rows() -> tuple[Row, ...]:
    """The domain over its ring."""
    path = f"{HOME}/node"
    return (
        Row("ring: read", lambda stage: (read(stage.ring, path),)),
        Row("ring: write", lambda stage: (write(stage.ring, path),)),
        Row("ring: transaction, read + write", lambda stage: read_modify_write(stage.ring, path)),
    )


def large_scene(scale: Scale) -> Scene:
    """A large store."""

    def prepare(stage: Stage) -> None:
        stage.write(NODE, VALUE)
        stage.make(large_store(scale.of(LARGE)))

    return Scene(
        prepare,
        (
            Row("100,000 nodes: read", lambda stage: (read(stage.dom0),)),
            Row("100,000 nodes: write", lambda stage: (write(stage.dom0),)),
            Row("100,000 nodes: mkdir + rm", lambda s: make_and_remove(s, f"{BENCH}/new")),
            Row("100,000 nodes: transaction", lambda stage: read_modify_write(stage.dom0)),
        ),
    )
