"""A guest is tried as often as asked for, each time by a new stub domain; nothing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import trio

from handoff.descriptor import BootMethod, Role
from handoff.errors import (
    ConfigError,
    DeviceModelDied,
    GuestCrashed,
    HandoffError,
    ImageError,
    MachineError,
    PeerMisbehaved,
    PlacementError,
    ReportedFailure,
    RunDirectoryBusy,
    StageTimeout,
    XenstoreUnavailable,
)
from handoff.store_values import Carrier
from tests.builders import noise
from tests.toolstack import scripted_device_model
from tests.toolstack.fakes import FakeMachine, Recorder, guest_config
from toolstack import store as store_module
from toolstack.config import GuestConfig
from toolstack.console import Console
from toolstack.create import Outcome, Request, create
from toolstack.guest_run import Patience
from toolstack.machine.port import EndReason, MachineEnd
from toolstack.run_directory import locked
from toolstack.store import Store

PROGRAM = (sys.executable, str(Path(scripted_device_model.__file__)))


class Stage:
    """What a run needs, and what it leaves behind."""

    def __init__(self, rundir: Path, config: GuestConfig) -> None:
        self.rundir = rundir
        self.config = config
        self.machine = FakeMachine()
        self.progress = Recorder()
        self.carrier = Carrier.XENSTORE
        self.tries = 3
        self.stage_timeout_s = 60.0
        self.boot = BootMethod.AUTO

    @property
    def processes(self) -> list[int]:
        """Device models so far, by what they logged."""
        lines = (line.split() for _, line in self.progress.lines)
        return [int(words[1]) for words in lines if words[0] == "pid"]

    @property
    def domains(self) -> list[int]:
        """Domains xenstored serves now: their sockets are there from INTRODUCE to RELEASE."""
        return sorted(int(name) for name in os.listdir(self.rundir / "domain"))

    async def run(self, *scenarios: str) -> Outcome:
        request = Request(
            config=self.config,
            machine=self.machine,
            patience=Patience(None, None),
            carrier=self.carrier,
            boot=self.boot,
            tries=self.tries,
            stage_timeout_s=self.stage_timeout_s,
            xenstore=self.rundir,
            device_model_program=(*PROGRAM, *scenarios),
        )
        with null_console() as console:
            return await create(request, self.progress, console)

    async def refusal(self, *scenarios: str) -> HandoffError:
        """Why the run failed; no guest was let go."""
        with pytest.raises(HandoffError) as refused:
            await self.run(*scenarios)
        assert "unpaused" not in self.machine.deeds
        return refused.value


@contextmanager
def null_console() -> Iterator[Console]:
    fd = os.open(os.devnull, os.O_WRONLY)
    try:
        yield Console(fd)
    finally:
        os.close(fd)


def gone(process: int) -> bool:
    return not os.path.exists(f"/proc/{process}")


@pytest.fixture
def images(tmp_path: Path) -> GuestConfig:
    """A guest whose kernel and ramdisk nobody can run; no toolstack would notice."""
    kernel, ramdisk = tmp_path / "kernel", tmp_path / "ramdisk"
    kernel.write_bytes(noise(0x3001, 1))
    ramdisk.write_bytes(noise(0x2345, 2))
    return guest_config(kernel, ramdisk)


@pytest.fixture
def stage(rundir: Path, images: GuestConfig) -> Stage:
    return Stage(rundir, images)


async def _left(store: Store) -> dict[str, tuple[str, ...]]:
    """What is below the parents that domains share."""
    parents = ("/local/domain", "/vm", "/libxl", "/tool/stubdom-direct-boot")
    backends = tuple(f"/local/domain/0/{name}" for name in ("backend/console", "device-model"))
    return {
        path: await store.client.directory(path)
        for path in (*parents, *backends)
        if await store.client.exists(path)
    }


async def _nothing_left(stage: Stage, store: Store) -> None:
    left = await _left(store)
    assert left.pop("/local/domain") in ((), ("0",))
    assert set(left.values()) <= {()}, left
    assert stage.domains == [0] or stage.domains == []
    assert all(map(gone, stage.processes))
    # Another toolstack can start at once.
    with locked(stage.rundir):
        pass


@pytest.mark.parametrize("carrier", list(Carrier))
async def test_an_honest_device_model_boots_the_guest_at_the_first_try(
    carrier: Carrier, stage: Stage, store: Store
) -> None:
    stage.carrier = carrier
    outcome = await stage.run("good")
    assert (outcome.end.reason, outcome.attempts) == (EndReason.POWERED_OFF, 1)
    assert outcome.round_trips > 0
    assert stage.machine.deeds == ["started", "unpaused", "destroyed"]
    assert stage.progress.warnings == []
    await _nothing_left(stage, store)


@pytest.mark.parametrize("last", ["at-once", *(f"after-{s}" for s in scripted_device_model.STAGES)])
async def test_one_that_dies_is_followed_by_another_in_a_new_stub_domain(
    last: str, stage: Stage, store: Store
) -> None:
    at_publish: list[tuple[list[int], list[bool]]] = []

    def look(who: str, what: str) -> None:
        if what == "published":
            at_publish.append((stage.domains, list(map(gone, stage.processes))))

    stage.progress.on_stage = look
    outcome = await stage.run(f"dies-{last}", "good")

    assert outcome.attempts == 2
    (warning,) = stage.progress.warnings
    assert "attempt 1 failed" in warning
    assert "killed by SIGKILL" in warning
    (first, _), (second, processes) = at_publish
    # Guest 1 stays; the first stub domain and its process were gone before the second started.
    assert [domid for domid in first if domid] == [1, 2]
    assert [domid for domid in second if domid] == [1, 3]
    assert processes[0]
    assert stage.machine.deeds[-3:] == ["started", "unpaused", "destroyed"]
    assert stage.machine.deeds.count("unpaused") == 1
    await _nothing_left(stage, store)


async def test_each_try_is_a_generation_of_its_own(stage: Stage) -> None:
    await stage.run("dies-at-once", "dies-at-once", "good")
    published = [d for d in stage.progress.details if d.startswith("generation")]
    assert [detail.split(",")[0] for detail in published] == [
        "generation 1",
        "generation 2",
        "generation 3",
    ]


async def test_after_the_last_try_the_error_is_the_last_ones(stage: Stage, store: Store) -> None:
    stage.tries = 2
    error = await stage.refusal("dies-at-once", "dies-after-verified")
    assert isinstance(error, DeviceModelDied)
    assert len(stage.progress.warnings) == 1
    assert len(stage.processes) == 2
    await _nothing_left(stage, store)


async def test_silence_ends_in_a_timeout_after_each_try(stage: Stage, store: Store) -> None:
    stage.stage_timeout_s, stage.tries = 0.3, 2
    error = await stage.refusal("silent")
    assert isinstance(error, StageTimeout)
    assert len(stage.progress.warnings) == 1
    await _nothing_left(stage, store)


async def test_endless_flapping_of_the_state_lets_no_guest_go(stage: Stage, store: Store) -> None:
    stage.tries = 1
    error = await stage.refusal("flapping")
    assert isinstance(error, PeerMisbehaved)
    await _nothing_left(stage, store)


async def test_a_refused_image_is_not_tried_again(stage: Stage, store: Store) -> None:
    error = await stage.refusal("refuses")
    assert isinstance(error, ReportedFailure)
    assert (error.exit_code, stage.progress.warnings) == (12, [])
    assert len(stage.processes) == 1
    await _nothing_left(stage, store)


async def test_only_damaged_images_are_loaded_again(stage: Stage) -> None:
    loads: list[list[tuple[Role, int, int]]] = []

    def look(who: str, what: str) -> None:
        if what == "published":
            loads.append(list(stage.progress.loads))

    stage.progress.on_stage = look
    await stage.run("damaged", "good")
    assert [len(told) for told in loads] == [2, 2]
    digests = [[i.digest for i in offer.images] for offer, _ in stage.progress.offers]
    assert digests[0] == digests[1]


async def test_a_machine_that_does_not_start_is_not_tried_again(stage: Stage, store: Store) -> None:
    stage.machine.refuses = "no such machine: install one"
    error = await stage.refusal("good")
    assert isinstance(error, MachineError)
    assert len(stage.processes) == 1
    await _nothing_left(stage, store)


async def test_a_guest_that_ran_is_not_started_anew_though_it_said_nothing(
    stage: Stage, store: Store
) -> None:
    def kill(who: str, what: str) -> None:
        if what == "unpaused":
            os.kill(stage.processes[-1], signal.SIGKILL)

    stage.machine.ends = None
    stage.progress.on_stage = kill
    with pytest.raises(DeviceModelDied, match="while its guest ran"):
        await stage.run("good")
    assert stage.machine.deeds == ["started", "unpaused", "destroyed"]
    await _nothing_left(stage, store)


async def test_a_guest_that_crashed_is_an_error_with_the_machines_words(
    stage: Stage, store: Store
) -> None:
    stage.machine.ends = MachineEnd(EndReason.CRASHED, "triple fault at 0x1234")
    with pytest.raises(GuestCrashed, match="triple fault at 0x1234"):
        await stage.run("good")
    await _nothing_left(stage, store)


async def test_cancelling_leaves_nothing(stage: Stage, store: Store) -> None:
    stage.machine.ends = None
    with trio.CancelScope() as scope:
        stage.progress.on_stage = lambda who, what: scope.cancel() if what == "unpaused" else None
        await stage.run("good")
    assert scope.cancelled_caught
    assert stage.machine.deeds == ["started", "unpaused", "destroyed"]
    await _nothing_left(stage, store)


@pytest.mark.parametrize("when", ["created", "loaded", "published", "verified"])
async def test_cancelling_at_any_stage_leaves_nothing(
    when: str, stage: Stage, store: Store
) -> None:
    with trio.CancelScope() as scope:
        stage.progress.on_stage = lambda who, what: scope.cancel() if what == when else None
        await stage.run("stays-verified")
    assert scope.cancelled_caught
    assert stage.machine.deeds == []
    await _nothing_left(stage, store)


async def test_what_is_wrong_with_the_images_is_said_before_a_device_model_starts(
    stage: Stage, store: Store, tmp_path: Path
) -> None:
    stage.config = guest_config(tmp_path / "missing")
    assert isinstance(await stage.refusal("good"), ImageError)
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(1 << 40)
    stage.config = guest_config(large)
    error = await stage.refusal("good")
    assert isinstance(error, PlacementError)
    assert stage.processes == []
    await _nothing_left(stage, store)


async def test_a_way_to_start_a_kernel_is_refused_without_one(stage: Stage, store: Store) -> None:
    stage.config, stage.boot = guest_config(), BootMethod.PVH
    error = await stage.refusal("good")
    assert isinstance(error, ConfigError)
    assert "kernel=" in str(error)
    assert stage.progress.stages == []


async def test_a_busy_run_directory_is_left_to_its_holder(stage: Stage) -> None:
    with locked(stage.rundir):
        assert isinstance(await stage.refusal("good"), RunDirectoryBusy)


@pytest.fixture
def daemon(short_directory: Path) -> Iterator[subprocess.Popen[bytes]]:
    """xenstored in a process of its own, so that it can be killed."""
    command = [sys.executable, "-m", "xenstore_sim", "--rundir", str(short_directory)]
    with ExitStack() as stack:
        process = stack.enter_context(subprocess.Popen(command, stderr=subprocess.PIPE))
        stack.callback(process.kill)
        assert process.stderr is not None
        assert b"listening" in process.stderr.readline()
        yield process


@pytest.mark.parametrize("when", ["created", "loaded", "published", "verified", "unpaused"])
async def test_when_xenstored_dies_the_run_ends_in_one_error_and_no_process_stays(
    when: str, daemon: subprocess.Popen[bytes], short_directory: Path, images: GuestConfig
) -> None:
    stage = Stage(short_directory, images)
    stage.machine.ends = None

    def kill(who: str, what: str) -> None:
        if what == when:
            daemon.kill()
            daemon.wait()

    stage.progress.on_stage = kill
    with trio.fail_after(60), pytest.raises(HandoffError) as refused:
        await stage.run("good" if when == "unpaused" else "stays-verified")
    expected = DeviceModelDied if when == "unpaused" else XenstoreUnavailable
    assert isinstance(refused.value, expected), refused.value
    assert all(map(gone, stage.processes))
    assert stage.machine.deeds in ([], ["started", "unpaused", "destroyed"])


@pytest.mark.parametrize("when", ["created", "loaded", "published"])
async def test_a_xenstored_that_stops_answering_is_not_waited_for_for_ever(
    when: str,
    daemon: subprocess.Popen[bytes],
    short_directory: Path,
    images: GuestConfig,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_module, "ANSWER_S", 0.3)
    monkeypatch.setattr("toolstack.domains.CLEAN_UP_S", 0.3)
    monkeypatch.setattr("toolstack.create.CLEAN_UP_S", 0.3)
    stage = Stage(short_directory, images)
    stage.tries = 1
    stage.stage_timeout_s = 0.3

    def stop(who: str, what: str) -> None:
        if what == when:
            daemon.send_signal(signal.SIGSTOP)

    stage.progress.on_stage = stop
    with trio.fail_after(60):
        error = await stage.refusal("silent")
    assert isinstance(error, XenstoreUnavailable | StageTimeout)
    assert all(map(gone, stage.processes))


async def test_own_xenstored_and_its_directory_go_with_the_run(
    images: GuestConfig, short_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short_directory))
    base = short_directory / "stubdom-direct-boot"
    while_running: list[int] = []
    progress = Recorder(lambda who, what: while_running.append(len(list(base.iterdir()))))
    request = Request(
        config=images,
        machine=FakeMachine(),
        patience=Patience(None, None),
        device_model_program=(*PROGRAM, "good"),
    )
    with null_console() as console, trio.fail_after(60):
        outcome = await create(request, progress, console)
    assert outcome.end.reason is EndReason.POWERED_OFF
    assert set(while_running) == {1}
    assert list(base.iterdir()) == []


async def test_a_run_directory_name_too_long_for_a_socket_says_what_to_do(
    images: GuestConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    request = Request(config=images, machine=FakeMachine(), patience=Patience(None, None))
    with (
        null_console() as console,
        pytest.raises(XenstoreUnavailable, match="bound is 107: choose a place"),
    ):
        await create(request, Recorder(), console)
    assert list((long / "stubdom-direct-boot").iterdir()) == []
