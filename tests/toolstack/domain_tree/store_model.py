"""Steps carried out on a plain dict, with xenstored's rule for new nodes.

A node that dom0 makes has the permissions of its parent until others are set.
"""

from __future__ import annotations

from collections.abc import Iterable

from handoff.keys import StoreWrite
from toolstack.domain_tree import MakeDirectory, Remove, Step, Transaction

Tree = dict[str, tuple[str, str]]
"""Path to value and permissions."""


def carried_out(steps: Iterable[Step], tree: Tree | None = None) -> Tree:
    """The tree after `steps`, from an empty store or from `tree`."""
    nodes: Tree = {"": ("", "n0"), **(tree or {})}
    for step in steps:
        for action in step.actions if isinstance(step, Transaction) else (step,):
            match action:
                case StoreWrite(path, value, perms):
                    _make(nodes, path)
                    nodes[path] = (value.decode(), str(perms) if perms else nodes[path][1])
                case MakeDirectory(path, perms):
                    _make(nodes, path)
                    nodes[path] = (nodes[path][0], str(perms))
                case Remove(path):
                    for gone in [at for at in nodes if at == path or at.startswith(f"{path}/")]:
                        del nodes[gone]
    return nodes


def _make(nodes: Tree, path: str) -> None:
    if path not in nodes:
        parent = path.rpartition("/")[0]
        _make(nodes, parent)
        nodes[path] = ("", nodes[parent][1])


def below(tree: Tree, top: str) -> Tree:
    """The nodes of `tree` below `top`, by the path from there."""
    return {
        at.removeprefix(f"{top}/"): node for at, node in tree.items() if at.startswith(f"{top}/")
    }
