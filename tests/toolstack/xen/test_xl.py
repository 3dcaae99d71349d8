"""xl as a program: what it says when it fails is what the operator reads."""

from __future__ import annotations

import os
from pathlib import Path
from subprocess import DEVNULL

import pytest

from handoff.errors import HypervisorError
from toolstack.lock_file import lock_file
from toolstack.xen.xl import Xl, XlFailed


def program(directory: Path, script: str) -> Xl:
    file = directory / "xl"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return Xl(str(file))


async def test_a_domain_is_built_paused_and_nobody_waits_for_its_end(tmp_path: Path) -> None:
    xl = program(tmp_path, f'echo "$@" > {tmp_path}/said')
    await xl.create_paused("/guest.cfg", DEVNULL)
    assert (tmp_path / "said").read_text() == "create -p -e /guest.cfg\n"


async def test_the_lock_it_is_given_is_its_standard_input(tmp_path: Path) -> None:
    # libxl gives QEMU another one, and that is all of ours which QEMU would not keep.
    xl = program(tmp_path, f"readlink /proc/self/fd/0 >> {tmp_path}/inputs")
    with lock_file(tmp_path / "lock") as lock:
        await xl.create_paused("/guest.cfg", lock)
        await xl.destroy(5, lock)
    assert (tmp_path / "inputs").read_text() == f"{tmp_path}/lock\n" * 2


async def test_what_libxl_keeps_of_a_domain_is_what_it_lists(tmp_path: Path) -> None:
    xl = program(tmp_path, 'echo "$@"')
    assert await xl.configuration(5) == "list -l 5\n"


async def test_an_interrupt_at_our_terminal_does_not_reach_it(tmp_path: Path) -> None:
    xl = program(tmp_path, f"cut -d' ' -f6 /proc/self/stat > {tmp_path}/session")
    await xl.destroy(5, DEVNULL)
    assert int((tmp_path / "session").read_text()) != os.getsid(0)


async def test_a_failure_has_its_reason_and_its_last_words(tmp_path: Path) -> None:
    xl = program(tmp_path, "echo 'libxl: \033[1mno kernel' >&2; seq 9; exit 3")
    with pytest.raises(XlFailed) as failed:
        await xl.destroy(5, DEVNULL)
    assert str(failed.value) == (
        "`xl destroy` failed (status 3): libxl: ?[1mno kernel / 1 / 2 / ... / 8 / 9"
    )


async def test_one_that_was_killed_did_not_fail_by_itself(tmp_path: Path) -> None:
    xl = program(tmp_path, "echo 'Parsing config'; kill -KILL $$")
    with pytest.raises(
        HypervisorError, match=r"`xl create` was killed \(signal 9\): Parsing config"
    ) as killed:
        await xl.create_paused("/guest.cfg", DEVNULL)
    assert not isinstance(killed.value, XlFailed)


async def test_a_program_that_cannot_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(HypervisorError, match=r"/xl: No such file"):
        await Xl(str(tmp_path / "xl")).destroy(5, DEVNULL)


def test_a_missing_xl_is_named_with_its_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    with pytest.raises(HypervisorError, match=r"xl: no such program.*xen-utils-common"):
        Xl.installed()
