"""Image, method, platform, carrier: each cell run, or shown to be equal, or refused in words."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from pathlib import Path

import pytest

from handoff.platforms import Platform
from tests.e2e.matrix.both_ways import Came, Start
from tests.e2e.matrix.cells import (
    BITS_32,
    BITS_64,
    CARRIERS,
    CONSIDERED,
    FOLLOWED,
    LEFT_OUT,
    METHODS,
    MULTIBOOT,
    OURS,
    PLACES,
    PVH,
    QEMU,
    REAL,
    REAL_ROM,
    RUN,
    UNTOLD,
    Goal,
    Method,
    runs,
)
from tests.e2e.matrix.images import Bootable, new_token, prepared
from tests.e2e.matrix.placements import check_placements
from tests.e2e.matrix.proofs import Said
from tests.e2e.matrix.table import Matrix
from tests.e2e.toolstack_runs import left_behind, toolstack, toolstack_until, write_config

RUNS = tuple(runs())
LARGE_MIB = 8192


@pytest.fixture(scope="module")
def bootables(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Bootable]:
    return prepared(tmp_path_factory.mktemp("images"))


@pytest.mark.parametrize("platform", Platform, ids=lambda platform: platform.value)
@pytest.mark.parametrize(
    ("image", "method"),
    CONSIDERED,
    ids=[f"{image}-{method.name}" for image, method in CONSIDERED],
)
async def test_native_and_handoff_come_to_the_same(
    image: str,
    method: Method,
    platform: Platform,
    bootables: Mapping[str, Bootable],
    matrix: Matrix,
) -> None:
    goal = FOLLOWED.get((image, method))
    came = await Start(bootables[image], method, platform, goal).both_ways()
    if isinstance(came, str):
        assert goal is None, came
        matrix.refused[image, method, platform] = came
    else:
        assert goal is not None
        matrix.followed[image, method, platform] = goal
        matrix.showed(image, method, came.shown)


@pytest.mark.parametrize(
    ("image", "method", "platform", "carrier", "machine"),
    RUNS,
    ids=[
        f"{image}-{method.name}-{platform.value}-{carrier}-{machine}"
        for image, method, platform, carrier, machine in RUNS
    ],
)
def test_the_guest_shows_what_it_was_given(
    image: str,
    method: Method,
    platform: Platform,
    carrier: str,
    machine: str,
    bootables: Mapping[str, Bootable],
    matrix: Matrix,
    tmp_path: Path,
    runtime: Path,
) -> None:
    bootable, token = bootables[image], new_token()
    cmdline, ramdisk = bootable.with_token(token)
    settings = {"memory": bootable.memory_mib, "kernel": bootable.kernel, "cmdline": cmdline}
    if ramdisk is not None:
        settings["ramdisk"] = ramdisk
    config = write_config(tmp_path / "guest.cfg", **settings)
    way = ("--native",) if carrier == "native" else ("--carrier", carrier)
    where = ("--machine", machine, "--platform", platform.value, *way)
    told = () if (image, method) in UNTOLD else method.options
    words = ("create", str(config), "--json", *where, *told)

    if bootable.until:
        run = toolstack_until(runtime, bootable.until, *words)
        assert run.status == 128 + signal.SIGTERM
    else:
        run = toolstack(runtime, *words)
        assert run.status == 0, run.errors

    said = Said(run.console, cmdline, token, method)
    matrix.showed(image, method, bootable.proof(said))
    matrix.ran[image, method, platform, carrier] = machine
    (placed,) = run.events("placed")
    check_placements(image, method, platform, placed)
    assert left_behind(runtime, run.pid) == []


@pytest.mark.parametrize("platform", Platform, ids=lambda platform: platform.value)
@pytest.mark.parametrize("method", [REAL, BITS_32, BITS_64, PVH], ids=lambda method: method.name)
async def test_the_least_guest_that_a_refusal_names_is_enough(
    method: Method, platform: Platform, bootables: Mapping[str, Bootable]
) -> None:
    """The toolstack's staging is not in it: its own refusals are in test_bad_input.py."""

    async def native(memory_mib: int, goal: Goal | None) -> str | Came:
        return await Start(bootables["vmlinuz"], method, platform, goal, memory_mib).native()

    refused = await native(64, None)
    assert isinstance(refused, str)
    asked = re.search(r"at least (\d+) MiB more memory", refused)
    assert asked is not None, refused
    least = 64 + int(asked[1])
    assert isinstance(await native(least - 1, None), str)
    assert isinstance(await native(least, Goal.ENTRY), Came)


@pytest.mark.parametrize("platform", Platform, ids=lambda platform: platform.value)
@pytest.mark.parametrize(
    ("image", "method"),
    [*(("vmlinuz", m) for m in (REAL, BITS_32, BITS_64, PVH, REAL_ROM)), ("xen.gz", MULTIBOOT)],
)
async def test_a_guest_of_8_gib_is_told_of_its_ram_above_4_gib(
    image: str, method: Method, platform: Platform, bootables: Mapping[str, Bootable]
) -> None:
    start = Start(bootables[image], method, platform, Goal.ENTRY, LARGE_MIB)
    assert isinstance(await start.both_ways(), Came)


def test_in_qemu_methods_meet_platforms_and_platforms_meet_carriers() -> None:
    places = [
        (method, *place)
        for (_, method), cells in RUN.items()
        for place, machine in cells.items()
        if machine == QEMU
    ]
    assert {(platform, carrier) for _, platform, carrier in places} == set(PLACES)
    assert {(method, platform) for method, platform, _ in places} == {
        (method, platform) for method in OURS for platform in Platform
    }
    assert {carrier for method, _, carrier in places if method == REAL} == set(CARRIERS)


def test_every_run_is_of_a_cell_of_the_matrix() -> None:
    assert set(FOLLOWED) <= set(CONSIDERED)
    assert {method for _, method in FOLLOWED} == set(METHODS)
    assert set(RUN) <= set(FOLLOWED) | LEFT_OUT
