from __future__ import annotations

from pathlib import Path

import pytest

from handoff.errors import MachineError
from toolstack.machine.qemu.launch import Programs, command, find_programs

PROGRAMS = Programs(qemu="/bin/qemu", setpriv="/bin/setpriv")


def test_a_user_needs_no_change_of_ids() -> None:
    words = command(PROGRAMS, ("-S",), parent_pid=7, as_root=False, kvm_group=5)
    assert words[:5] == ("/bin/setpriv", "--no-new-privs", "--pdeathsig", "KILL", "--")
    assert words[-4:] == ('[ "$PPID" = "$0" ] && exec "$@"', "7", "/bin/qemu", "-S")


@pytest.mark.parametrize(
    ("kvm_group", "groups"), [(None, ("--clear-groups",)), (5, ("--groups", "5"))]
)
def test_root_keeps_nothing_but_the_group_for_kvm(
    kvm_group: int | None, groups: tuple[str, ...]
) -> None:
    words = command(PROGRAMS, (), parent_pid=7, as_root=True, kvm_group=kvm_group)
    at = words.index("--regid") + 2
    assert words[at : at + len(groups)] == groups
    assert {"--reuid", "--inh-caps=-all", "--bounding-set=-all"} <= set(words)


def test_missing_program_names_its_package(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="qemu is not there: apt install qemu-system-x86"):
        find_programs("qemu", str(tmp_path))
    qemu = tmp_path / "qemu"
    qemu.touch(mode=0o755)
    with pytest.raises(MachineError, match="setpriv is not there: apt install util-linux"):
        find_programs("qemu", str(tmp_path))


def test_programs_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("qemu", "setpriv"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    assert find_programs("./qemu", str(tmp_path)).qemu == str(tmp_path / "qemu")
