"""The machine that was named, or the best that is installed."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from handoff.confinement import Mode
from toolstack.machine.choose import MachineChoice, choose_machine


def _chosen(choice: MachineChoice) -> str:
    return choose_machine(choice, Mode.AUTO, math.inf, print).name


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """All of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("choice", [MachineChoice.QEMU, MachineChoice.EMULATOR, MachineChoice.NONE])
def test_a_machine_that_was_named_is_taken_installed_or_not(
    choice: MachineChoice, path: Path
) -> None:
    assert _chosen(choice) == choice.value


def test_auto_is_qemu_where_it_is_installed_and_else_the_emulator(path: Path) -> None:
    assert _chosen(MachineChoice.AUTO) == "emulator"
    program = path / "qemu-system-x86_64"
    program.touch()
    assert _chosen(MachineChoice.AUTO) == "emulator"
    program.chmod(0o755)
    assert _chosen(MachineChoice.AUTO) == "qemu"


def test_xen_is_no_machine_of_ours() -> None:
    assert _chosen(MachineChoice.XEN) == "xen"
