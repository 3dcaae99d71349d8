"""The device model's interpreter is started first, and is never left over."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.toolstack_runs import left_behind, toolstack
from toolstack.early_start import start_waiting, wanted

GONE_WITHIN_S = 20


@pytest.mark.parametrize(
    ("arguments", "is_wanted"),
    [
        (["demo", "--rom", "qemu"], False),
        (["create", "x.cfg", "--rom-file=r.bin"], False),
        (["create", "guest.cfg"], True),
        (["demo", "--linux"], True),
        (["create", "--help"], False),
        (["demo", "-h"], False),
        (["create", "guest.cfg", "--device-model", "other"], False),
        (["create", "guest.cfg", "--device-model=other"], False),
        (["cleanup"], False),
        ([], False),
    ],
    ids=str,
)
def test_only_a_boot_with_our_device_model_starts_one_early(
    arguments: list[str], is_wanted: bool
) -> None:
    assert wanted(arguments) is is_wanted


@pytest.mark.parametrize("machine", [["--machine", "xen"], ["--machine=xen"]])
@pytest.mark.parametrize("setting", ["", "device_model_stubdomain_override = 1\n"])
def test_none_is_started_for_a_guest_whose_device_model_has_a_domain_of_its_own(
    tmp_path: Path, machine: list[str], setting: str
) -> None:
    config = tmp_path / "guest.cfg"
    config.write_text(f'kernel = "vmlinuz"\n{setting}')
    assert wanted(["create", *machine, str(config)]) is not bool(setting)
    override = "device_model_stubdomain_override=1"
    assert not wanted(["create", *machine, str(config), override])
    # Where Xen is simulated, its stub domain is a process of this host.
    assert wanted(["create", str(config), override])


def test_a_configuration_that_can_be_read_once_only_is_left_alone(tmp_path: Path) -> None:
    pipe = tmp_path / "guest.cfg"
    os.mkfifo(pipe)
    assert wanted(["create", "--machine=xen", str(pipe)])


def test_one_that_is_not_needed_is_gone_when_it_is_abandoned() -> None:
    waiting = start_waiting()
    assert waiting is not None
    waiting.abandon()
    with pytest.raises(ChildProcessError):
        os.waitpid(waiting.pid, os.WNOHANG)
    waiting.abandon()  # of one that was told, or abandoned, nothing is taken away


def test_a_refused_configuration_leaves_none_behind(tmp_path: Path) -> None:
    run = toolstack(tmp_path, "create", str(tmp_path / "missing.cfg"))
    assert run.status == 11
    assert left_behind(tmp_path, run.pid) == []


def test_it_ends_with_a_toolstack_that_was_killed() -> None:
    script = (
        "import os, signal\n"
        "from toolstack.early_start import start_waiting\n"
        "print(start_waiting().pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    run = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, check=False)
    assert run.returncode == -signal.SIGKILL
    deadline = time.monotonic() + GONE_WITHIN_S
    while _runs(int(run.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _runs(pid: int) -> bool:
    """Whether the process does anything still; a zombie waits for init alone."""
    try:
        return b"devicemodel" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
