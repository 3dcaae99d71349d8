"""The state of a daemon as text, for the report of a failing test."""

from collections.abc import Iterator
from itertools import islice
from typing import Final

from xenstore_sim.server import ServerHandle

NODES_MAX: Final = 200
FAULTS_MAX: Final = 50
VALUE_MAX: Final = 60
"""Bytes that are shown of a value."""


def picture(handle: ServerHandle, seed: int) -> str:
    """The tree, what was injected, and how to inject it again."""
    faults = handle.injected_faults()
    lines = [f"seed: {seed} (repeat with --xenstored-seed={seed})"]
    if faults:
        shown = faults[-FAULTS_MAX:]
        before = faults[-1].number - len(shown)
        lines.append(f"injected faults: {faults[-1].number}")
        lines += [f"  ... {before} more before these"] if before else []
        lines += [f"  {fault}" for fault in shown]
    lines += ["tree:", *_tree(handle)]
    return "\n".join(lines)


def _tree(handle: ServerHandle) -> Iterator[str]:
    nodes = handle.nodes()
    for path, node in islice(nodes, NODES_MAX):
        yield f"  {path} = {_value(node.value)} ({node.perms})"
    if more := sum(1 for _ in nodes):
        yield f"  ... {more} more nodes"


def _value(value: bytes) -> str:
    shown = repr(value[:VALUE_MAX])[1:]
    return shown if len(value) <= VALUE_MAX else f"{shown} ... {len(value)} bytes"
