"""The command that becomes QEMU: it dies with its parent and holds no rights of root.

util-linux's setpriv does what otherwise would need code between fork and exec.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass

from handoff.errors import MachineError

UNPRIVILEGED_ID = 65533
"""User and group of a QEMU that root starts: nobody's neighbour, so that it shares no id
with the device model. Debian leaves 65000-65533 unused."""

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# setpriv asks for the signal too late if the parent is gone by then: its child has another
# parent, and must not start.
_UNLESS_ORPHANED = '[ "$PPID" = "$0" ] && exec "$@"'


@dataclass(frozen=True, slots=True)
class Programs:
    """Absolute paths."""

    qemu: str
    setpriv: str
    shell: str = "/bin/sh"


def find_programs(qemu: str, search_path: str | None = None) -> Programs:
    """Where the programs are. Raises: MachineError naming the Debian package that is missing.

    qemu: a name looked up in `search_path` (default: PATH), or a path.
    """
    path = search_path or os.environ.get("PATH", _DEFAULT_PATH)
    return Programs(
        qemu=_find(qemu, path, "qemu-system-x86"), setpriv=_find("setpriv", path, "util-linux")
    )


def _find(program: str, path: str, package: str) -> str:
    found = shutil.which(program, path=path)
    if found is None:
        raise MachineError(f"{program} is not there: apt install {package}")
    return os.path.abspath(found)


def command(
    programs: Programs,
    arguments: tuple[str, ...],
    *,
    parent_pid: int,
    as_root: bool,
    kvm_group: int | None,
) -> tuple[str, ...]:
    """The whole argument vector.

    as_root: the caller is root, so QEMU gets an id of its own and no capability.
    kvm_group: group it then needs for KVM, None for none.
    """
    groups = ("--clear-groups",) if kvm_group is None else ("--groups", str(kvm_group))
    dropped = (
        *("--reuid", str(UNPRIVILEGED_ID), "--regid", str(UNPRIVILEGED_ID), *groups),
        *("--inh-caps=-all", "--bounding-set=-all"),
    )
    return (
        programs.setpriv,
        *(dropped if as_root else ()),
        *("--no-new-privs", "--pdeathsig", "KILL", "--"),
        *(programs.shell, "-c", _UNLESS_ORPHANED, str(parent_pid)),
        *(programs.qemu, *arguments),
    )
