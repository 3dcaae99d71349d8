"""What a scenario leaves behind: domains, xenstore nodes, memory, grants."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_COMMAND_TIMEOUT_S: Final = 60
_SETTLE_S: Final = 10
_NOT_OURS: Final = re.compile(
    # Counters and logs of the daemons themselves.
    r"^/(libxl|tool/xenstored)\b"
)


@dataclass(frozen=True, slots=True)
class Residue:
    """What there is, apart from dom0's own."""

    domains: frozenset[str]
    """as `xl list` shows them: a name, or the number of one that is dying"""
    nodes: frozenset[str]
    """paths in xenstore"""
    free_mib: int
    """of the machine; domains that are gone give theirs back"""

    def beyond(self, before: Residue) -> dict[str, list[str]]:
        """What is here and was not there."""
        found = {
            "domains": sorted(self.domains - before.domains),
            "nodes": sorted(self.nodes - before.nodes),
            "lost nodes": sorted(before.nodes - self.nodes),
        }
        if self.free_mib < before.free_mib:
            found["memory"] = [f"{before.free_mib - self.free_mib} MiB"]
        return {what: names for what, names in found.items() if names}


def residue() -> Residue:
    """What there is now; memory that is still being scrubbed is waited for."""
    listed = [line.split() for line in _run("xl", "list").splitlines()[1:]]
    nodes = (line.split(" = ")[0] for line in _run("xenstore-ls", "-f").splitlines())
    return Residue(
        frozenset(f"{fields[0]}:{fields[1]}" for fields in listed if fields[1] != "0"),
        frozenset(node for node in nodes if node.startswith("/") and not _NOT_OURS.match(node)),
        _free_mib(),
    )


def _free_mib() -> int:
    (found,) = re.findall(r"^free_memory +: (\d+)$", _run("xl", "info"), re.MULTILINE)
    return int(found)


def clean_up(before: Residue) -> None:
    """Destroys what is here and was not there, so that the next scenario starts as this one."""
    for name in residue().beyond(before).get("domains", ()):
        subprocess.run(
            ("xl", "destroy", name.split(":")[1]), timeout=_COMMAND_TIMEOUT_S, check=False
        )
    for node in residue().beyond(before).get("nodes", ()):
        subprocess.run(("xenstore-rm", node), timeout=_COMMAND_TIMEOUT_S, check=False, stderr=-3)
    deadline = time.monotonic() + _SETTLE_S
    while residue().beyond(before) and time.monotonic() < deadline:
        time.sleep(0.5)


def _run(*command: str) -> str:
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=_COMMAND_TIMEOUT_S,
        check=True,
    )
    return done.stdout


def as_text(left: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in left.items())
