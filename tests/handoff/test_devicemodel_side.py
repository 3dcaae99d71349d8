from __future__ import annotations

from dataclasses import replace

import pytest

from handoff.addresses import Gpa
from handoff.conversation.devicemodel_side import (
    Command,
    DeviceModelSide,
    Discover,
    Event,
    FrameInArguments,
    FrameInMemory,
    FrameInXenstore,
    FrameSource,
    Leave,
    OfferNodes,
    OfferRead,
    OfferStateRead,
    Phase,
    ReadOffer,
    RunStage,
    StageDone,
    StageFailed,
    Tell,
    frame_source,
)
from handoff.errors import DescriptorRefused, HandoffError, PlacementError, Withdrawn
from handoff.stages import ORDER, Stage, next_stage

PUBLISHED = OfferStateRead(b"7 published")
WITHDRAWN = OfferStateRead(b"7 withdrawn")
NODES = OfferNodes(
    version=b"1", carrier=b"xenstore", chunks=(b"AAAA",), frame_gpa=None, frame_size=None
)
DISCOVER = Discover(7, FrameInXenstore((b"AAAA",)))


def converse(side: DeviceModelSide, talk: list[tuple[Event, tuple[Command, ...]]]) -> None:
    for event, commands in talk:
        assert side.handle(event) == commands


def after(stage: Stage | None) -> DeviceModelSide:
    """A side that has told of `stage`."""
    side = DeviceModelSide()
    side.handle(PUBLISHED)
    side.handle(OfferRead(NODES))
    done: Stage | None = None
    while done is not stage:
        done = next_stage(done)
        assert done is not None
        side.handle(StageDone(done))
    return side


def left_with(commands: tuple[Command, ...]) -> HandoffError | None:
    """The error of the only command, which is Leave."""
    (leave,) = commands
    assert isinstance(leave, Leave)
    return leave.error


def test_the_stages_are_done_and_told_one_by_one() -> None:
    side = DeviceModelSide()
    converse(
        side,
        [
            (OfferStateRead(None), ()),
            (PUBLISHED, (ReadOffer(),)),
            (PUBLISHED, ()),  # a watch fires without a change
            (OfferRead(NODES), (DISCOVER,)),
            (StageDone(Stage.DISCOVERED), (Tell(7, Stage.DISCOVERED), RunStage(Stage.VERIFIED))),
            (StageDone(Stage.VERIFIED), (Tell(7, Stage.VERIFIED), RunStage(Stage.PLACED))),
            (StageDone(Stage.PLACED), (Tell(7, Stage.PLACED), RunStage(Stage.MOVED))),
            (PUBLISHED, ()),
            (OfferRead(NODES), ()),
            (StageDone(Stage.MOVED), (Tell(7, Stage.MOVED), RunStage(Stage.INSERTED))),
            (StageDone(Stage.INSERTED), (Tell(7, Stage.INSERTED), RunStage(Stage.READY))),
            (StageDone(Stage.READY), (Tell(7, Stage.READY),)),
            (PUBLISHED, ()),
        ],
    )
    assert side.phase is Phase.SERVING


def test_an_offer_that_was_withdrawn_before_it_was_seen_is_not_taken() -> None:
    side = DeviceModelSide()
    assert side.handle(WITHDRAWN) == ()
    assert side.handle(OfferStateRead(b"8 published")) == (ReadOffer(),)
    assert side.generation == 8


@pytest.mark.parametrize("value", [None, b"7 withdrawn", b"8 published", b"6 withdrawn"])
@pytest.mark.parametrize("stage", [None, *ORDER[:-1]])
def test_after_a_withdrawal_nothing_is_done_or_told(
    stage: Stage | None, value: bytes | None
) -> None:
    side = after(stage)
    assert isinstance(left_with(side.handle(OfferStateRead(value))), Withdrawn)
    following = next_stage(stage)
    assert following is not None
    for event in (StageDone(following), StageFailed(PlacementError("x")), PUBLISHED):
        assert side.handle(event) == ()


def test_an_offer_may_be_withdrawn_while_it_is_read() -> None:
    side = DeviceModelSide()
    side.handle(PUBLISHED)
    assert isinstance(left_with(side.handle(WITHDRAWN)), Withdrawn)
    assert side.handle(OfferRead(NODES)) == ()


@pytest.mark.parametrize("value", [None, b"7 withdrawn"])
def test_once_the_guest_may_run_the_end_of_the_offer_is_the_end_of_the_work(
    value: bytes | None,
) -> None:
    side = after(Stage.READY)
    assert left_with(side.handle(OfferStateRead(value))) is None
    assert side.phase is Phase.ENDED


@pytest.mark.parametrize("stage", [None, *ORDER])
def test_a_state_of_no_known_form_ends_it(stage: Stage | None) -> None:
    for side in (DeviceModelSide(), after(stage)):
        assert isinstance(left_with(side.handle(OfferStateRead(b"7 open"))), DescriptorRefused)
        assert side.handle(PUBLISHED) == ()


@pytest.mark.parametrize("stage", [None, *ORDER[:-1]])
def test_a_failure_is_told_before_it_leaves(stage: Stage | None) -> None:
    error = PlacementError("no room")
    side = after(stage)
    assert side.handle(StageFailed(error)) == (
        Tell(7, Stage.FAILED, "placement: no room"),
        Leave(error),
    )
    assert side.handle(PUBLISHED) == ()


def test_an_offer_that_cannot_be_read_is_told_as_a_failure() -> None:
    side = DeviceModelSide()
    side.handle(PUBLISHED)
    tell, leave = side.handle(OfferRead(replace(NODES, version=b"2")))
    assert isinstance(tell, Tell)
    assert tell.stage is Stage.FAILED
    assert tell.error is not None
    assert tell.error.startswith("descriptor: direct-boot/version: is '2'")
    assert isinstance(leave, Leave)
    assert isinstance(leave.error, DescriptorRefused)


@pytest.mark.parametrize("wrong", [Stage.VERIFIED, Stage.READY, Stage.FAILED])
def test_a_stage_done_out_of_order_is_our_own_mistake(wrong: Stage) -> None:
    with pytest.raises(AssertionError):
        after(None).handle(StageDone(wrong))


def test_a_stage_that_ends_after_the_last_one_is_our_own_mistake() -> None:
    for event in (StageDone(Stage.READY), StageFailed(PlacementError("x"))):
        with pytest.raises(AssertionError):
            after(Stage.READY).handle(event)
        with pytest.raises(AssertionError):
            DeviceModelSide().handle(event)


@pytest.mark.parametrize(
    ("nodes", "source"),
    [
        (NODES, FrameInXenstore((b"AAAA",))),
        (
            replace(NODES, carrier=b"memory", frame_gpa=b"0x1f8000", frame_size=b"500"),
            FrameInMemory(Gpa(0x1F8000), 500),
        ),
        (replace(NODES, carrier=b"cmdline", chunks=()), FrameInArguments()),
    ],
)
def test_the_carrier_says_where_the_frame_is(nodes: OfferNodes, source: FrameSource) -> None:
    assert frame_source(nodes) == source


@pytest.mark.parametrize(
    ("nodes", "path"),
    [
        (replace(NODES, version=None), "direct-boot/version"),
        (replace(NODES, version=b"01"), "direct-boot/version"),
        (replace(NODES, carrier=None), "direct-boot/carrier"),
        (replace(NODES, carrier=b"pigeon"), "direct-boot/carrier"),
        (replace(NODES, chunks=()), "direct-boot/frame"),
        (replace(NODES, carrier=b"memory", frame_size=b"5"), "direct-boot/frame-gpa"),
        (replace(NODES, carrier=b"memory", frame_gpa=b"0x10"), "direct-boot/frame-size"),
        (
            replace(NODES, carrier=b"memory", frame_gpa=b"16", frame_size=b"5"),
            "direct-boot/frame-gpa",
        ),
        (
            replace(NODES, carrier=b"memory", frame_gpa=b"0x10", frame_size=b"32769"),
            "direct-boot/frame-size",
        ),
    ],
)
def test_a_node_that_is_missing_or_wrong_is_named(nodes: OfferNodes, path: str) -> None:
    with pytest.raises(DescriptorRefused) as refused:
        frame_source(nodes)
    assert refused.value.path == path
