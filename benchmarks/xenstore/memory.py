"""What nodes and connections take of a daemon's memory."""

from pathlib import Path
from typing import Final

from benchmarks.xenstore.daemons import Daemon
from benchmarks.xenstore.stage import BENCH, Stage
from benchmarks.xenstore.steps import Step, text
from xenstore_sim.wire.ops import Op

CONNECTIONS: Final = 200


def memory_bytes(daemon: Daemon) -> int:
    """What the daemon's process has of the machine's memory for itself."""
    rollup = Path(f"/proc/{daemon.pid}/smaps_rollup").read_text()
    fields = dict(line.split(":", 1) for line in rollup.splitlines()[1:])
    return sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty")) * 1024


def memory_taken(stage: Stage, nodes: int) -> dict[str, float]:
    """Bytes by what takes them; the daemon must have done nothing else yet.

    Leaves the store as it was; the memory need not come back.
    """
    at_rest = memory_bytes(stage.daemon)
    clients = [stage.connect() for _ in range(CONNECTIONS)]
    # An answer to the last one says that all are accepted.
    stage.play(stage.round([Step.ask(clients[-1], Op.READ, text("/tool"), b"")]))
    connected = memory_bytes(stage.daemon)
    for client in clients:
        stage.watch(client, [f"{BENCH}/none"])
    watching = memory_bytes(stage.daemon)
    stage.leave()
    disconnected = memory_bytes(stage.daemon)
    stage.make(large_store(nodes))
    full = memory_bytes(stage.daemon)
    return {
        "at rest": at_rest,
        "a connection": (connected - at_rest) / CONNECTIONS,
        "its first watch": (watching - connected) / CONNECTIONS,
        "a node": (full - disconnected) / nodes,
    }


def large_store(nodes: int) -> tuple[str, ...]:
    """Paths; C and oxenstored keep a node's children with it, so none has many."""
    return tuple(f"{BENCH}/large/{number // 100}/{number % 100}" for number in range(nodes))
