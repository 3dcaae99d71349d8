"""A hostile device model gets nowhere, and where a layer is taken away it is seen to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from handoff.confinement import Layer
from tests.e2e.toolstack_runs import Run, left_behind, toolstack
from toolstack.isolation.attempts import named
from toolstack.isolation.attempts.kernel import ATTEMPTS as KERNEL
from toolstack.isolation.scene import scene
from toolstack.isolation.trial import CONFINED, Setting, Trial, run_trial


@pytest.fixture(scope="module")
def isolation(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Path]:
    runtime = tmp_path_factory.mktemp("run")
    return toolstack(runtime, "isolation", "--json"), runtime


def _told(run: Run) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(run.console)
    return told


def test_nothing_gets_through_and_the_bystander_is_served(isolation: tuple[Run, Path]) -> None:
    run, _ = isolation
    told = _told(run)
    not_well = [
        (row["name"], row["verdict"], row["outcome"])
        for row in told["attempts"]
        if row["verdict"] not in ("stopped", "allowed", "stopped, unproven")
    ]
    assert not_well == []
    assert told["bystander"]["harm"] is None
    assert told["bystander"]["turns"] > 0
    assert (run.status, run.errors) == (0, "")


def test_every_attempt_that_can_succeed_unconfined_did(isolation: tuple[Run, Path]) -> None:
    told = _told(isolation[0])
    failed = [
        (row["name"], row["control"]["outcome"])
        for row in told["attempts"]
        if row["control"] is not None and not row["control"]["through"]
    ]
    assert failed == []


def test_all_that_is_tried_on_xenstored_is_tried_on_a_ring_too(
    isolation: tuple[Run, Path],
) -> None:
    rows = [row for row in _told(isolation[0])["attempts"] if row["group"].startswith("xenstore")]
    socket = [row for row in rows if row["group"] == "xenstore"]
    ring = [row for row in rows if row["group"] == "xenstore's ring"]
    assert all(row["on_a_ring"] is not None for row in socket)
    assert len(socket) > len(ring) > 5


def test_the_truth_boots_where_every_lie_does_not(isolation: tuple[Run, Path]) -> None:
    rows = [row for row in _told(isolation[0])["attempts"] if row["group"] == "protocol"]
    assert [row["name"] for row in rows if row["verdict"] == "allowed"] == ["the truth"]
    assert len(rows) > 10


def test_nothing_is_left_behind(isolation: tuple[Run, Path]) -> None:
    run, runtime = isolation
    assert left_behind(runtime, run.pid) == []


@pytest.fixture
async def trials() -> dict[str, Trial]:
    """A few attempts, with a layer gone."""
    names = ("read an inherited file", "hoard descriptors", "see other processes", "fork")
    attempts = [named(name) for name in names]
    async with scene() as stage:
        settings = [
            CONFINED,
            *(
                Setting(layer.value, without=(layer,))
                for layer in (Layer.DESCRIPTORS, Layer.RLIMITS, Layer.PID_NAMESPACE)
            ),
        ]
        return {setting.name: await run_trial(stage, setting, attempts) for setting in settings}


async def test_what_a_layer_holds_gets_through_without_it(trials: dict[str, Trial]) -> None:
    through = {
        setting: [name for name, result in trial.results.items() if result.through]
        for setting, trial in trials.items()
    }
    assert through == {
        "confined": [],
        "descriptors": ["read an inherited file"],
        "rlimits": ["hoard descriptors"],
        "pid namespace": ["see other processes"],
    }


async def test_an_attempt_that_hangs_or_ends_its_process_is_told_and_others_go_on() -> None:
    attempts = [named(name) for name in ("execute a program", "map and read behind its end")]
    attempts += [attempt for attempt in KERNEL if attempt.name == "add a key"]
    async with scene() as stage:
        without = tuple(layer for layer in Layer if layer is not Layer.IDENTITY)
        trial = await run_trial(stage, Setting("bare", without=without), attempts)
    assert trial.results["execute a program"].what == "/bin/sh ran"
    assert trial.results["map and read behind its end"].what == "killed by SIGBUS"
    assert trial.results["add a key"].through
