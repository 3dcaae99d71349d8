"""The toolstack believes nothing the stub domain writes, and waits for it only so long.

The stub domain is played here, over a xenstore connection that really is its own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import cast

import pytest
import trio
import trio.testing

from handoff.addresses import MIB, Gpa, GpaRange
from handoff.carriers.base64_chunks import CHUNKS_MAX
from handoff.descriptor import TABLES, Insert, Role
from handoff.errors import (
    DeviceModelDied,
    HandoffError,
    MachineError,
    PeerMisbehaved,
    PlacementError,
    ReportedFailure,
    StageTimeout,
    XenstoreUnavailable,
)
from handoff.firmware import BiosRom, DirectEntry
from handoff.keys import HandoffKeys, numbered
from handoff.report import Report
from handoff.single_error import single_error
from tests.toolstack.fakes import FakeMachine, FakeProcess, Recorder, chunks, guest_config
from tests.toolstack.scripted_device_model import REPORT, STAGES
from toolstack.attempt import Attempt, follow, snapshot
from toolstack.device_model import DeviceModelProcess
from toolstack.domain_tree import MakeDirectory
from toolstack.hypervisor import RamFile, guest_memory
from toolstack.machine.port import Hardware
from toolstack.simulated_host import MachineOverFile
from toolstack.store import Store
from xenstore_sim.client import Client
from xenstore_sim.wire.names import AbsolutePath, DomId

GENERATION = 3
KEYS = HandoffKeys(DomId(2), DomId(1))
ROM = b"\x55\xaa\x01" + bytes(509)


class Stubdomain:
    """Domain S: it writes what a test lets it write."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def state(self, stage: str, generation: int = GENERATION) -> None:
        await self.client.write(KEYS.answer_state, f"{generation} {stage}")

    async def report(self, values: tuple[bytes, ...]) -> None:
        for number, value in enumerate(values, 1):
            await self.client.write(numbered(KEYS.report, number), value)

    async def running(self) -> None:
        await self.client.write(KEYS.running, "running")

    async def honest(self, report: Report = REPORT) -> None:
        """All that a good device model writes."""
        for stage in STAGES:
            if stage == "inserted":
                await self.report(chunks(report, GENERATION))
            await self.state(stage)
        await self.running()


class Scene:
    """One attempt with everything around it."""

    def __init__(self, store: Store, ram: RamFile, stubdomain: Stubdomain) -> None:
        self.store = store
        self.ram = ram
        self.stubdomain = stubdomain
        self.machine = FakeMachine(ends=None)
        self.process = FakeProcess()
        self.progress = Recorder()
        self.boots_firmware = False
        self.tables: frozenset[Role] = frozenset()

    @property
    def stages(self) -> list[str]:
        return [what for who, what in self.progress.stages if who == "device model"]

    async def play(self, act: Callable[[Stubdomain], Awaitable[None]]) -> None:
        """The attempt while S does `act`; returns when the guest was let go and ended.

        Raises: HandoffError that ended the attempt.
        """
        hardware = Hardware("fake", self.ram.fd, self.ram.regions, self.ram.bytes, self.ram.e820)
        machine = MachineOverFile(self.machine, hardware)
        handed = self.boots_firmware, self.tables
        attempt = Attempt(GENERATION, KEYS, self.ram, machine, 30.0, *handed)
        process = cast(DeviceModelProcess, self.process)
        with single_error():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(act, self.stubdomain)
                async with follow(attempt, self.store.client, process, self.progress) as let_go:
                    assert self.machine.deeds[-1] == "unpaused"
                    assert let_go.machine is self.machine.running[0]
                nursery.cancel_scope.cancel()

    async def refusal(self, act: Callable[[Stubdomain], Awaitable[None]]) -> HandoffError:
        """The error that ends the attempt; the guest was never let go and no machine is left."""
        with pytest.raises(HandoffError) as refused:
            await self.play(act)
        assert self.machine.deeds in ([], ["started", "destroyed"])
        return refused.value


@asynccontextmanager
async def _scene(store: Store) -> AsyncIterator[Scene]:
    for domid in (KEYS.target, KEYS.stubdom):
        await store.client.introduce(domid, 1, 1)
    await store.client.set_target(KEYS.stubdom, KEYS.target)
    await store.carry_out(MakeDirectory(KEYS.device_model, KEYS.device_model_perms))
    async with Client.connect(store.rundir / "domain" / str(KEYS.stubdom)) as client:
        with guest_memory("fake", guest_config().memory_bytes, Gpa(3 << 30)) as ram:
            ram.ram.write(REPORT.rom.start, ROM)
            yield Scene(store, ram, Stubdomain(client))


@pytest.fixture
async def scene(store: Store) -> AsyncIterator[Scene]:
    async with _scene(store) as scene:
        yield scene


async def _silence(stubdomain: Stubdomain) -> None:
    await trio.lowlevel.checkpoint()


async def test_a_guest_is_let_go_after_ready_and_running_and_its_machine_destroyed_at_the_end(
    scene: Scene,
) -> None:
    await scene.play(lambda stubdomain: stubdomain.honest())

    # Xenstored merges events that wait: stages may be missed, never swapped.
    assert scene.stages == [stage for stage in STAGES if stage in scene.stages]
    assert scene.stages[-1] == "ready"
    assert scene.machine.deeds == ["started", "unpaused", "destroyed"]
    assert scene.progress.reports == [REPORT]
    assert scene.progress.stages[-1] == ("toolstack", "unpaused")


async def test_running_before_ready_is_not_enough(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        await stubdomain.running()
        await stubdomain.report(chunks(generation=GENERATION))
        await stubdomain.state("inserted")

    error = await scene.refusal(act)
    assert isinstance(error, StageTimeout)
    assert error.awaited == "the device model to be ready (direct-boot/state)"


async def test_ready_without_running_is_not_enough(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        await stubdomain.client.write(KEYS.running, "runnin")
        await stubdomain.report(chunks(generation=GENERATION))
        await stubdomain.state("ready")

    error = await scene.refusal(act)
    assert isinstance(error, StageTimeout)
    assert "'running'" in error.awaited


async def test_silence_ends_after_the_stages_time(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    before = trio.current_time()
    scene.process.last_words = "sandbox: seccomp"
    error = await scene.refusal(_silence)
    assert isinstance(error, StageTimeout)
    assert trio.current_time() - before == pytest.approx(30)
    assert error.seconds == 30
    assert "discover the offer" in str(error)
    assert "its last words: sandbox: seccomp" in str(error)
    assert "--stage-timeout" in str(error)


async def test_each_stage_has_the_whole_time_of_its_own(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        await stubdomain.report(chunks(generation=GENERATION))
        for stage in STAGES:
            await trio.sleep(29)
            await stubdomain.state(stage)
        await trio.sleep(29)
        await stubdomain.running()

    await scene.play(act)
    assert scene.stages == list(STAGES)


async def test_saying_the_same_again_for_ever_gains_no_time(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        while True:
            await stubdomain.state("verified")
            await trio.sleep(1)

    before = trio.current_time()
    error = await scene.refusal(act)
    assert isinstance(error, StageTimeout)
    assert "to be placed" in error.awaited
    assert trio.current_time() - before == pytest.approx(30, abs=1)
    assert scene.stages == ["discovered", "verified"]


async def test_a_state_that_goes_back_ends_the_attempt(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    async def flapping(stubdomain: Stubdomain) -> None:
        while True:
            for stage in ("moved", "verified"):
                await stubdomain.state(stage)
                await trio.testing.wait_all_tasks_blocked()

    error = await scene.refusal(flapping)
    assert isinstance(error, PeerMisbehaved)
    assert "from moved to verified" in str(error)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"3",
        b"3 ready ",
        b"03 ready",
        b"3 READY",
        b"-3 ready",
        b"3 published",
        b"0 ready",
        b"4294967296 ready",
        b"3 ready\n",
        b"\x1b[31m3 ready",
        b"\xff\xfe\x00",
        b"2 ready",
        b"4 discovered",
    ],
    ids=repr,
)
async def test_a_state_that_is_not_of_the_form_or_the_attempt_ends_it(
    value: bytes, scene: Scene
) -> None:
    error = await scene.refusal(lambda s: s.client.write(KEYS.answer_state, value))
    assert isinstance(error, PeerMisbehaved)
    assert str(error).isprintable()
    assert scene.machine.deeds == []


async def test_as_much_garbage_as_xenstore_takes_is_cut_in_the_message(scene: Scene) -> None:
    # The quota of a domain's node, 2 KiB, is below what a message could carry.
    error = await scene.refusal(lambda s: s.client.write(KEYS.answer_state, b"\x07" * 1900))
    assert isinstance(error, PeerMisbehaved)
    assert str(error).isprintable()
    assert "1900 bytes" in str(error)
    assert len(str(error)) < 600


OUTSIDE = GpaRange(Gpa(64 * MIB - 0x100), 0x200)
LIES = {
    "rom beyond RAM": (replace(REPORT, rom=OUTSIDE), "rom [0x3ffff00, 0x4000100) is not guest RAM"),
    "rom at 1 PiB": (replace(REPORT, rom=GpaRange(Gpa(1 << 50), 0x200)), "is not guest RAM"),
    "huge rom": (replace(REPORT, rom=GpaRange(Gpa(0), 32 * MIB)), "at most 0x1fe00"),
    "placement beyond RAM": (
        replace(REPORT, placements=(replace(REPORT.placements[0], range=OUTSIDE),)),
        "placement kernel",
    ),
    "move to beyond RAM": (
        replace(REPORT, moves=(replace(REPORT.moves[0], to=OUTSIDE),)),
        "move of kernel",
    ),
    "move from beyond RAM": (
        replace(REPORT, moves=(replace(REPORT.moves[0], source=OUTSIDE),)),
        "source of kernel",
    ),
    "escape in a name": (replace(REPORT, method="\x1b[2J"), "method"),
}


@pytest.mark.parametrize(("report", "words"), LIES.values(), ids=LIES.keys())
async def test_a_report_that_lies_starts_no_machine(
    report: Report, words: str, scene: Scene
) -> None:
    error = await scene.refusal(lambda stubdomain: stubdomain.honest(report))
    assert isinstance(error, PeerMisbehaved)
    assert words in str(error)
    assert str(error).isprintable()
    assert scene.machine.deeds == []


@pytest.mark.parametrize(
    "values",
    [
        (),
        (b"not base64!",),
        (b"A" * 1900,),
        chunks(generation=GENERATION + 1),
        (*chunks(generation=GENERATION), b"AAAA"),
        (chunks(generation=GENERATION)[0][:-4],),
        tuple(b"A" * 1900 for _ in range(40)),
    ],
    ids=["none", "garbage", "zeros", "of another attempt", "one too many", "cut", "too long"],
)
async def test_a_report_that_is_none_starts_no_machine(
    values: tuple[bytes, ...], scene: Scene
) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        await stubdomain.report(values)
        await stubdomain.state("ready")
        await stubdomain.running()

    error = await scene.refusal(act)
    assert isinstance(error, PeerMisbehaved)
    assert scene.machine.deeds == []


async def test_of_a_report_no_more_is_read_than_one_can_have(scene: Scene) -> None:
    before = 0

    async def act(stubdomain: Stubdomain) -> None:
        nonlocal before
        for number in range(1, 201):
            await stubdomain.client.write(numbered(KEYS.report, number), b"A" * 1900)
            await trio.testing.wait_all_tasks_blocked()
        before = scene.store.client.round_trips
        await stubdomain.state("inserted")

    assert isinstance(await scene.refusal(act), PeerMisbehaved)
    # Beside the chunks: a read of the state, and a transaction's start and end.
    assert 0 < scene.store.client.round_trips - before < CHUNKS_MAX + 10


async def test_the_first_report_counts_and_a_later_one_is_not_read(scene: Scene) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        await stubdomain.report(chunks(generation=GENERATION))
        await stubdomain.state("inserted")
        await trio.testing.wait_all_tasks_blocked()
        await stubdomain.report(chunks(replace(REPORT, rom=OUTSIDE), GENERATION))
        await stubdomain.state("ready")
        await stubdomain.running()

    await scene.play(act)
    assert scene.progress.reports == [REPORT]


async def test_its_own_reason_for_a_failure_is_shown_as_one_clean_line(scene: Scene) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        await stubdomain.client.write(KEYS.error, "placement: no room at 0x1000: add memory")
        await stubdomain.state("failed")

    error = await scene.refusal(act)
    assert isinstance(error, ReportedFailure)
    assert str(error) == "no room at 0x1000: add memory"
    assert error.exit_code == PlacementError.exit_code


@pytest.mark.parametrize(
    "line",
    [
        b"placement: \x1b[2J\x07 gone",
        b"placement: two\nlines",
        b"placement: " + b"x" * 1500,
        b"no kind at all",
        b"",
        b"\xff",
    ],
    ids=["escape", "two lines", "long", "no kind", "empty", "not ASCII"],
)
async def test_a_reason_that_is_not_one_printable_line_is_misbehaviour(
    line: bytes, scene: Scene
) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        await stubdomain.client.write(KEYS.error, line)
        await stubdomain.state("failed")

    error = await scene.refusal(act)
    assert isinstance(error, PeerMisbehaved)
    assert str(error).isprintable()
    assert len(str(error)) < 600


async def test_an_unknown_kind_of_reason_is_misbehaviour_with_the_words(scene: Scene) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        await stubdomain.client.write(KEYS.error, "pigeons: they flew away")
        await stubdomain.state("failed")

    error = await scene.refusal(act)
    assert error.exit_code == PeerMisbehaved.exit_code
    assert "pigeons: they flew away" in str(error)


async def test_failed_without_a_reason_is_misbehaviour(scene: Scene) -> None:
    error = await scene.refusal(lambda stubdomain: stubdomain.state("failed"))
    assert isinstance(error, PeerMisbehaved)
    assert "gave no reason" in str(error)


async def test_a_device_model_that_ends_ends_the_attempt_with_what_was_awaited(
    scene: Scene,
) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        await stubdomain.state("verified")
        scene.process.end("killed by SIGSEGV")

    error = await scene.refusal(act)
    assert isinstance(error, DeviceModelDied)
    assert "(killed by SIGSEGV)" in str(error)
    assert "to be placed" in str(error)


async def test_the_last_words_of_a_device_model_say_more_than_its_exit_status(
    scene: Scene,
) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        await stubdomain.client.write(KEYS.error, "layout: boot_flag")
        await stubdomain.state("failed")
        scene.process.end("exit status 12")

    assert isinstance(await scene.refusal(act), ReportedFailure)


async def test_a_device_model_that_floods_its_directory_is_given_up(
    scene: Scene, autojump_clock: trio.testing.MockClock
) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        # In one transaction, so that all events come at once.
        async with stubdomain.client.begin() as transaction:
            for number in range(200):
                await transaction.write(f"{KEYS.device_model}/{number}", b"")

    error = await scene.refusal(act)
    assert isinstance(error, PeerMisbehaved)
    assert "floods" in str(error)


async def test_a_machine_that_does_not_start_ends_the_attempt_as_itself(scene: Scene) -> None:
    scene.machine.refuses = "no such machine: install one"
    error = await scene.refusal(lambda stubdomain: stubdomain.honest())
    assert isinstance(error, MachineError)
    assert str(error) == "no such machine: install one"


async def test_a_connection_that_ends_is_xenstore_unavailable(scene: Scene) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        await stubdomain.state("discovered")
        await trio.testing.wait_all_tasks_blocked()
        scene.store.client.close()

    error = await scene.refusal(act)
    assert isinstance(error, XenstoreUnavailable)
    assert "connection" in str(error)


async def test_firmware_that_takes_a_file_gets_the_bytes_of_the_rom(scene: Scene) -> None:
    scene.machine.insert = Insert.GENROMS
    await scene.play(lambda stubdomain: stubdomain.honest())
    assert scene.machine.roms == [ROM]


async def test_firmware_that_looks_into_ram_gets_none(scene: Scene) -> None:
    await scene.play(lambda stubdomain: stubdomain.honest())
    assert scene.machine.roms == [None]


async def test_the_rom_of_a_device_is_not_looked_for_in_ram(scene: Scene) -> None:
    scene.machine.insert = Insert.PCI_ROM
    await scene.play(lambda stubdomain: stubdomain.honest(replace(REPORT, rom=None)))
    assert scene.machine.roms == [None]


@pytest.mark.parametrize(
    ("insert", "report", "text"),
    [
        (Insert.PCI_ROM, REPORT, "the report has a rom, and pci-rom takes none"),
        (Insert.WINDOW, replace(REPORT, rom=None), "the report has no rom, and window takes one"),
        (Insert.GENROMS, replace(REPORT, rom=None), "the report has no rom, and genroms takes one"),
    ],
)
async def test_a_rom_is_reported_where_one_was_asked_for(
    insert: Insert, report: Report, text: str, scene: Scene
) -> None:
    scene.machine.insert = insert
    error = await scene.refusal(lambda stubdomain: stubdomain.honest(report))
    assert isinstance(error, PeerMisbehaved)
    assert str(error) == text
    assert scene.machine.deeds == []


@pytest.mark.parametrize(
    "rom",
    [bytes(512), b"\x55\xaa\x02" + bytes(509), b"\x55\xaa\x00" + bytes(509)],
    ids=["no signature", "longer than it is", "no length"],
)
async def test_what_is_no_option_rom_is_not_handed_to_firmware(rom: bytes, scene: Scene) -> None:
    scene.machine.insert = Insert.GENROMS
    scene.ram.ram.write(REPORT.rom.start, rom)
    error = await scene.refusal(lambda stubdomain: stubdomain.honest())
    assert isinstance(error, PeerMisbehaved)
    assert "is no option ROM" in str(error)
    assert scene.machine.deeds == []


async def test_a_rom_shorter_than_its_signature_is_refused(scene: Scene) -> None:
    with pytest.raises(PeerMisbehaved, match="is no option ROM"):
        snapshot(replace(REPORT, rom=GpaRange(REPORT.rom.start, 2)), scene.ram.ram)


async def test_a_bios_that_was_handed_over_is_copied_whole(scene: Scene) -> None:
    where = GpaRange(Gpa(0x300000), 0x20000)
    scene.ram.ram.write(where.start, b"bios" * 0x8000)
    report = replace(REPORT, rom=None, firmware=BiosRom(where))
    assert snapshot(report, scene.ram.ram) == b"bios" * 0x8000


async def test_firmware_in_the_place_of_a_kernel_is_not_started(scene: Scene) -> None:
    firmware = replace(REPORT, rom=None, firmware=BiosRom(GpaRange(Gpa(0x300000), 0x20000)))
    error = await scene.refusal(lambda stubdomain: stubdomain.honest(firmware))
    assert isinstance(error, PeerMisbehaved)
    assert str(error) == "the report starts firmware, and a kernel was handed over"
    assert scene.machine.deeds == []


async def test_of_firmware_that_is_entered_where_it_lies_no_file_is_made(scene: Scene) -> None:
    report = replace(REPORT, rom=None, firmware=DirectEntry(Gpa(0x100000), Gpa(0x174000)))
    assert snapshot(report, scene.ram.ram) is None


ENTRY = DirectEntry(Gpa(0x100000), Gpa(0x174000), acpi=GpaRange(Gpa(0x180000), 0x1234))
WITH_TABLES = replace(REPORT, rom=None, firmware=ENTRY)


async def test_tables_are_named_to_hvmloader_where_the_device_model_put_them(scene: Scene) -> None:
    scene.boots_firmware, scene.tables = True, frozenset({Role.ACPI})
    await scene.play(lambda stubdomain: stubdomain.honest(WITH_TABLES))
    here = f"/local/domain/{KEYS.target}/hvmloader/acpi"
    assert await scene.store.client.read(AbsolutePath(f"{here}/address")) == b"0x180000"
    assert await scene.store.client.read(AbsolutePath(f"{here}/length")) == b"0x1234"


@pytest.mark.parametrize(
    ("handed", "text"),
    [
        (frozenset(), "the report has tables: acpi; handed over: none"),
        (frozenset(TABLES), "the report has tables: acpi; handed over: acpi, smbios"),
    ],
)
async def test_other_tables_than_were_handed_over_are_refused(
    handed: frozenset[Role], text: str, scene: Scene
) -> None:
    scene.boots_firmware, scene.tables = True, handed
    error = await scene.refusal(lambda stubdomain: stubdomain.honest(WITH_TABLES))
    assert isinstance(error, PeerMisbehaved)
    assert str(error) == text
    assert not await scene.store.client.exists(
        AbsolutePath(f"/local/domain/{KEYS.target}/hvmloader")
    )


async def test_the_nodes_beside_the_two_that_matter_are_not_read(scene: Scene) -> None:
    async def act(stubdomain: Stubdomain) -> None:
        await stubdomain.client.write(AbsolutePath(f"{KEYS.device_model}/other"), b"\xff")
        await stubdomain.client.write(AbsolutePath(f"{KEYS.answer}/other"), b"\xff")
        await stubdomain.honest()

    await scene.play(act)
