from __future__ import annotations

from dataclasses import replace

import pytest

from handoff.addresses import Gpa, GpaRange
from handoff.carriers import base64_chunks
from handoff.conversation.toolstack_side import (
    AnswerRead,
    Command,
    DeadlinePassed,
    DeviceModelEnded,
    ErrorRead,
    Event,
    GiveUp,
    Lost,
    MachinePrepared,
    PrepareMachine,
    Reached,
    ReadError,
    ReadReport,
    ReportRead,
    RunningRead,
    ToolstackSide,
    Unpause,
    worth_retrying,
)
from handoff.errors import (
    ALL_ERRORS,
    DeviceModelDied,
    DigestMismatch,
    HandoffError,
    PeerMisbehaved,
    ReportedFailure,
    StageTimeout,
    XenstoreUnavailable,
)
from handoff.report import Report, encode_report
from handoff.stages import ORDER, Stage

RAM = (GpaRange(Gpa(0), 0x1000000),)
REPORT = Report("linux", (), (), GpaRange(Gpa(0xC8000), 0xA00), 0)


def chunks(report: Report = REPORT, generation: int = 7) -> tuple[bytes, ...]:
    return tuple(c.encode() for c in base64_chunks.split(encode_report(report, generation)))


def answer(stage: Stage, generation: int = 7) -> AnswerRead:
    return AnswerRead(f"{generation} {stage.value}".encode())


PREPARE = PrepareMachine(REPORT)
RUNNING = RunningRead(b"running")


def converse(side: ToolstackSide, talk: list[tuple[Event, tuple[Command, ...]]]) -> None:
    for event, commands in talk:
        assert side.handle(event) == commands


def follow(*events: Event) -> tuple[ToolstackSide, tuple[Command, ...]]:
    """A side that has handled `events`, and what it said to the last one."""
    side = ToolstackSide(7, RAM)
    commands: tuple[Command, ...] = ()
    for event in events:
        commands = side.handle(event)
    return side, commands


def given_up(commands: tuple[Command, ...]) -> HandoffError:
    (command,) = commands
    assert isinstance(command, GiveUp)
    return command.error


def test_the_guest_is_let_go_when_all_is_well() -> None:
    converse(
        ToolstackSide(7, RAM),
        [
            (AnswerRead(None), ()),
            (RunningRead(None), ()),
            (answer(Stage.DISCOVERED), (Reached(Stage.DISCOVERED),)),
            (answer(Stage.DISCOVERED), ()),
            # Events that merged: what lies between was reached, too.
            (
                answer(Stage.MOVED),
                (Reached(Stage.VERIFIED), Reached(Stage.PLACED), Reached(Stage.MOVED)),
            ),
            (answer(Stage.INSERTED), (Reached(Stage.INSERTED), ReadReport())),
            (ReportRead(chunks()), (PREPARE,)),
            (MachinePrepared(), ()),
            (answer(Stage.READY), (Reached(Stage.READY),)),
            (RUNNING, (Unpause(),)),
        ],
    )


REPORTED = (answer(Stage.INSERTED), ReportRead(chunks()))


@pytest.mark.parametrize(
    "last_three",
    [
        (MachinePrepared(), answer(Stage.READY), RUNNING),
        (MachinePrepared(), RUNNING, answer(Stage.READY)),
        (answer(Stage.READY), MachinePrepared(), RUNNING),
        (answer(Stage.READY), RUNNING, MachinePrepared()),
        (RUNNING, MachinePrepared(), answer(Stage.READY)),
        (RUNNING, answer(Stage.READY), MachinePrepared()),
    ],
)
def test_the_last_three_conditions_may_come_in_any_order_and_all_are_needed(
    last_three: tuple[Event, ...],
) -> None:
    assert Unpause() in follow(*REPORTED, *last_three)[1]
    for missing in last_three:
        side, _ = follow(*REPORTED, *(event for event in last_three if event is not missing))
        assert not side.over


def test_a_missed_inserted_does_not_save_the_report_from_being_read() -> None:
    _, commands = follow(answer(Stage.READY))
    assert commands == (*map(Reached, ORDER), ReadReport())


def test_the_report_is_read_once() -> None:
    _, commands = follow(answer(Stage.INSERTED), answer(Stage.READY))
    assert commands == (Reached(Stage.READY),)
    assert follow(*REPORTED, ReportRead(chunks()))[1] == ()


def test_a_report_nobody_asked_for_prepares_no_machine() -> None:
    assert follow(ReportRead(chunks()))[1] == ()


def test_a_machine_prepared_without_a_report_is_our_own_mistake() -> None:
    with pytest.raises(AssertionError):
        follow(MachinePrepared())


@pytest.mark.parametrize("value", [None, b"", b"Running", b"running\n", b"running ", b"\xff" * 99])
def test_only_the_one_word_means_running(value: bytes | None) -> None:
    side, _ = follow(*REPORTED, MachinePrepared(), answer(Stage.READY), RunningRead(value))
    assert not side.over
    assert side.handle(RUNNING) == (Unpause(),)


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        ((AnswerRead(b"7 done"),), "must be '<generation> <stage>'"),
        ((AnswerRead(b"\x1b[2J" * 999),), "must be '<generation> <stage>'"),
        ((answer(Stage.DISCOVERED, 6),), "answers attempt 6, this is attempt 7"),
        ((answer(Stage.READY, 8),), "answers attempt 8, this is attempt 7"),
        ((answer(Stage.MOVED), answer(Stage.PLACED)), "went from moved to placed"),
        ((*REPORTED, answer(Stage.READY), answer(Stage.FAILED)), "went from ready to failed"),
        ((answer(Stage.FAILED), answer(Stage.READY)), "went from failed to ready"),
        ((answer(Stage.FAILED), ErrorRead(None)), "failed and gave no reason"),
        ((answer(Stage.FAILED), ErrorRead(b"\x1b[2J")), "must be one line"),
        ((answer(Stage.FAILED), ErrorRead(b"x" * 4000)), "error has 4000 bytes, at most 900"),
        ((answer(Stage.INSERTED), ReportRead(())), "report is malformed: report: 0 chunks"),
        ((answer(Stage.INSERTED), ReportRead((b"A" * 1900,) * 24)), "24 chunks, must be 1 to 23"),
        ((answer(Stage.INSERTED), ReportRead((b"A" * 3000,))), "report/001: 3000 characters"),
        ((answer(Stage.INSERTED), ReportRead((b"AAAA",))), "frame: 3 bytes"),
        ((answer(Stage.INSERTED), ReportRead(chunks(generation=6))), "report is of attempt 6"),
        (
            (
                answer(Stage.INSERTED),
                ReportRead(chunks(replace(REPORT, rom=GpaRange(Gpa(0x1000000), 1)))),
            ),
            "rom [0x1000000, 0x1000001) is not guest RAM",
        ),
        (
            (
                answer(Stage.INSERTED),
                ReportRead(chunks(replace(REPORT, rom=GpaRange(Gpa(0), 0x20000)))),
            ),
            "an option ROM at most 0x1fe00",
        ),
    ],
)
def test_misbehaviour_ends_the_attempt(events: tuple[Event, ...], problem: str) -> None:
    side, commands = follow(*events)
    error = given_up(commands)
    assert isinstance(error, PeerMisbehaved)
    assert problem in str(error)
    assert str(error).isprintable()
    assert side.over


def test_a_reported_failure_is_raised_again_as_what_it_was() -> None:
    _, commands = follow(answer(Stage.FAILED), ErrorRead(b"placement: no room"))
    error = given_up(commands)
    assert isinstance(error, ReportedFailure)
    assert error.kind == "placement"
    assert str(error) == "no room"


def test_a_failure_makes_the_toolstack_ask_why() -> None:
    assert follow(answer(Stage.FAILED))[1] == (Reached(Stage.FAILED), ReadError())


AWAITED = {
    None: "discover the offer",
    Stage.DISCOVERED: "be verified",
    Stage.VERIFIED: "be placed",
    Stage.PLACED: "be moved",
    Stage.MOVED: "be inserted",
    Stage.INSERTED: "be ready",
    Stage.READY: "the machine to start",
    Stage.FAILED: "reason",
}


@pytest.mark.parametrize("stage", list(AWAITED))
def test_a_deadline_and_a_death_say_what_was_awaited(stage: Stage | None) -> None:
    events = () if stage is None else (answer(stage),)
    timeout = given_up(follow(*events, DeadlinePassed(30))[1])
    assert isinstance(timeout, StageTimeout)
    assert AWAITED[stage] in str(timeout)
    death = given_up(follow(*events, DeviceModelEnded("signal 9"))[1])
    assert isinstance(death, DeviceModelDied)
    assert "(signal 9)" in str(death)
    assert AWAITED[stage] in str(death)


def test_after_ready_and_prepared_the_last_word_is_awaited() -> None:
    side, _ = follow(*REPORTED, MachinePrepared(), answer(Stage.READY))
    assert "'running'" in side.awaited


def test_what_the_shell_lost_is_why_it_gives_up() -> None:
    error = XenstoreUnavailable("gone")
    assert given_up(follow(Lost(error))[1]) is error


@pytest.mark.parametrize(
    "end", [(RUNNING, MachinePrepared(), answer(Stage.READY)), (DeadlinePassed(30),)]
)
def test_after_the_end_nothing_is_done(end: tuple[Event, ...]) -> None:
    side, _ = follow(*REPORTED, *end)
    assert side.over
    events: tuple[Event, ...] = (
        *map(answer, ORDER),
        *REPORTED,
        RUNNING,
        MachinePrepared(),
        DeviceModelEnded("signal 9"),
        DeadlinePassed(1),
        AnswerRead(b"rubbish"),
    )
    assert [command for event in events for command in side.handle(event)] == []


def test_only_what_a_new_stub_domain_may_escape_is_tried_again() -> None:
    retried = {DeviceModelDied, StageTimeout, DigestMismatch, PeerMisbehaved, XenstoreUnavailable}
    for kind in ALL_ERRORS:
        assert worth_retrying(ReportedFailure(f"{kind.kind}: x")) == (kind in retried)
    assert worth_retrying(DeviceModelDied("signal 9"))
    assert worth_retrying(DigestMismatch("kernel", "here", bytes(32), bytes(32)))
    assert not worth_retrying(HandoffError("?"))
