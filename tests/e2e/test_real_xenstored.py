"""A whole handoff on Debian's own xenstored, the device model an unprivileged domain on a ring."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.real_store import run_directory
from tests.e2e.toolstack_runs import Run, toolstack, write_config
from tests.oracle.raw_client import ERROR
from tests.oracle.real_xenstored import RealXenstored
from toolstack.builtin_guest import LAST_LINE, initrd_path, kernel_path

DYING = Path(__file__).with_name("dying_device_model.py")
DIRECTORY = 1
STORE_PORT = 1
"""What the toolstack names for every domain: ports are each domain's own."""


@pytest.fixture
def real() -> Iterator[RealXenstored]:
    with RealXenstored() as daemon:
        yield daemon


@pytest.fixture
def store(real: RealXenstored) -> Iterator[Path]:
    with run_directory(real, [(domid, STORE_PORT) for domid in range(1, 6)]) as directory:
        yield directory


def boot(store: Path, tmp_path: Path, runtime: Path, *arguments: str) -> Run:
    config = write_config(
        tmp_path / "guest.cfg",
        memory=64,
        kernel=kernel_path(),
        ramdisk=initrd_path(),
        cmdline="console=ttyS0 from=xenstored",
    )
    return toolstack(
        runtime,
        *("create", str(config), "--machine", "emulator"),
        *("--xenstore", str(store), "--stubdom-xenstore", "ring", *arguments),
    )


def children(real: RealXenstored, path: str) -> set[bytes]:
    """Of a node as dom0 sees it; none if there is no such node."""
    answer = real.connect().ask(DIRECTORY, path)
    return set() if answer.type == ERROR else set(answer.payload.split(b"\0")) - {b""}


@pytest.mark.parametrize("carrier", ["xenstore", "memory", "cmdline"])
def test_the_guest_boots_and_nothing_of_it_is_left(
    real: RealXenstored, store: Path, carrier: str, tmp_path: Path, runtime: Path
) -> None:
    run = boot(store, tmp_path, runtime, "--carrier", carrier)

    assert run.status == 0, run.errors
    assert LAST_LINE in run.console
    assert "from=xenstored" in run.console
    assert children(real, "/local/domain") <= {b"0"}
    for directory in (
        "/vm",
        "/libxl",
        "/local/domain/0/backend/console",
        "/local/domain/0/backend/vbd",
    ):
        assert children(real, directory) == set(), directory


def test_a_device_model_that_dies_is_followed_by_another_stub_domain(
    real: RealXenstored, store: Path, tmp_path: Path, runtime: Path
) -> None:
    dying = f"{sys.executable} {DYING} 1 {tmp_path / 'died'}"
    run = boot(store, tmp_path, runtime, "--device-model", dying)

    assert run.status == 0, run.errors
    assert LAST_LINE in run.console
    assert "attempt 1 failed" in run.errors
    assert children(real, "/local/domain") <= {b"0"}


def test_a_debian_kernel_reaches_user_space_in_qemu(
    store: Path, debian: dict[str, Path], tmp_path: Path, runtime: Path
) -> None:
    config = write_config(
        tmp_path / "guest.cfg",
        kernel=debian["vmlinuz"],
        ramdisk=debian["initrd.img"],
        cmdline="console=ttyS0 quiet nokaslr",
    )
    run = toolstack(
        runtime,
        *("create", str(config), "--machine", "qemu"),
        *("--xenstore", str(store), "--stubdom-xenstore", "ring"),
    )

    assert run.status == 0, run.errors
    assert "user space: reached, powering off" in run.console
