"""Image, method, platform, carrier: each cell run, or shown to be equal, or refused in words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from handoff.platforms import Platform
from tests.e2e.matrix.both_ways import compared
from tests.e2e.matrix.cells import (
    CARRIERS,
    IMAGES,
    METHODS,
    PLACES,
    QEMU,
    RUN,
    STARTED,
    Method,
    runs,
)
from tests.e2e.matrix.images import Bootable, new_token, prepared
from tests.e2e.matrix.table import Matrix
from tests.e2e.toolstack_runs import left_behind, toolstack, toolstack_until, write_config

pytestmark = pytest.mark.matrix
RUNS = tuple(runs())


@pytest.fixture(scope="module")
def bootables(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Bootable]:
    return prepared(tmp_path_factory.mktemp("images"))


@pytest.mark.parametrize("platform", Platform, ids=lambda platform: platform.value)
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
@pytest.mark.parametrize("image", IMAGES)
def test_native_and_handoff_come_to_the_same(
    image: str,
    method: Method,
    platform: Platform,
    bootables: Mapping[str, Bootable],
    matrix: Matrix,
) -> None:
    starts = (image, method) in STARTED
    found = compared(bootables[image], method, platform, starts=starts)
    if isinstance(found, str):
        matrix.refused[image, method, platform] = found
    else:
        matrix.equal[image, method, platform] = found
    assert isinstance(found, int) == starts, found


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
    words = ("create", str(config), "--machine", machine, "--platform", platform.value)

    if bootable.until:
        run = toolstack_until(runtime, bootable.until, *words, *method.options, *way)
    else:
        run = toolstack(runtime, *words, *method.options, *way)
        assert run.status == 0, run.errors

    matrix.proved[image, method] = bootable.proof(run, token)
    matrix.ran[image, method, platform, carrier] = machine
    assert left_behind(runtime, run.pid) == []


def test_in_qemu_methods_meet_platforms_and_platforms_meet_carriers() -> None:
    places = [
        (method, *place)
        for (_, method), cells in RUN.items()
        for place, machine in cells.items()
        if machine == QEMU
    ]
    assert {(platform, carrier) for _, platform, carrier in places} == set(PLACES)
    assert {(method, platform) for method, platform, _ in places} == {
        (method, platform) for method in METHODS for platform in Platform
    }
    assert {(method, carrier) for method, _, carrier in places} >= {
        (method, carrier) for method in METHODS[:1] for carrier in CARRIERS
    }


def test_every_run_is_of_a_cell_of_the_matrix() -> None:
    assert {image for image, _ in RUN} <= set(IMAGES)
    assert set(RUN) <= STARTED
