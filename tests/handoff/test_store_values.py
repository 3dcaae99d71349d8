from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import GPA_LIMIT, Gpa
from handoff.errors import (
    ALL_ERRORS,
    ERROR_LINE_MAX_BYTES,
    DescriptorRefused,
    HandoffError,
    PeerMisbehaved,
    error_line,
)
from handoff.frame import FRAME_MAX_BYTES, GENERATION_MAX
from handoff.stages import Stage
from handoff.store_values import (
    Answer,
    Carrier,
    Offer,
    OfferState,
    decode_carrier,
    decode_error,
    decode_gpa,
    decode_size,
    decode_version,
    encode_gpa,
    encode_size,
    shown,
)

GENERATIONS = st.integers(1, GENERATION_MAX)

NO_STATE = [
    b"",
    b" ",
    b"published",
    b"1",
    b"1 ",
    b"1 Published",
    b"1 ready",
    b"01 published",
    b"0 published",
    b"-1 published",
    b"+1 published",
    b" 1 published",
    b"1  published",
    b"1 published ",
    b"1 published\n",
    b"1 published\0",
    b"1\tpublished",
    b"0x1 published",
    b"1_0 published",
    "\u0661 published".encode(),
    b"9223372036854775808 published",
    b"1" * 4000 + b" published",
]


def test_states_are_a_number_and_a_word() -> None:
    assert OfferState(1, Offer.PUBLISHED).encode() == b"1 published"
    assert OfferState(7, Offer.WITHDRAWN).encode() == b"7 withdrawn"
    assert Answer(12, Stage.VERIFIED).encode() == b"12 verified"
    assert Answer.decode(b"9223372036854775807 failed") == Answer(GENERATION_MAX, Stage.FAILED)


@given(GENERATIONS, st.sampled_from(Offer), st.sampled_from(Stage))
def test_states_come_back_as_they_were_written(generation: int, offer: Offer, stage: Stage) -> None:
    assert OfferState.decode(OfferState(generation, offer).encode()) == OfferState(
        generation, offer
    )
    assert Answer.decode(Answer(generation, stage).encode()) == Answer(generation, stage)


@pytest.mark.parametrize("value", NO_STATE)
def test_an_offer_of_any_other_form_is_refused(value: bytes) -> None:
    with pytest.raises(DescriptorRefused, match="direct-boot/state"):
        OfferState.decode(value)


@pytest.mark.parametrize(
    "value", [b"", b"placed", b"1", b"1 placing", b"1 published", b"01 placed", b"1 placed\n"]
)
def test_an_answer_of_any_other_form_is_misbehaviour(value: bytes) -> None:
    with pytest.raises(PeerMisbehaved, match="state is"):
        Answer.decode(value)


@pytest.mark.parametrize(
    ("read", "refusal"),
    [
        (OfferState.decode, DescriptorRefused),
        (Answer.decode, PeerMisbehaved),
        (decode_error, PeerMisbehaved),
        (decode_version, DescriptorRefused),
        (decode_carrier, DescriptorRefused),
        (decode_gpa, DescriptorRefused),
        (decode_size, DescriptorRefused),
    ],
)
@given(value=st.binary(max_size=64))
def test_any_bytes_give_a_value_or_a_printable_refusal(
    read: Callable[[bytes], object], refusal: type[HandoffError], value: bytes
) -> None:
    said = ""
    try:
        read(value)
    except refusal as error:
        said = str(error)
    assert said == "" or said.isprintable()


@given(st.sampled_from(ALL_ERRORS), st.text(min_size=1, max_size=2000))
def test_every_error_line_the_device_model_can_write_is_read(
    error: type[HandoffError], text: str
) -> None:
    line = error_line(error.kind, text)
    assert decode_error(line.encode("ascii")) == line


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"placement",
        b"placement:no blank",
        b"placement: two\nlines",
        b"placement: \x1b[2J",
        "placement: \xfc".encode(),
        b"Placement: x",
        b": x",
        b"placement: " + b"x" * ERROR_LINE_MAX_BYTES,
    ],
)
def test_an_error_that_is_not_one_printable_line_is_misbehaviour(value: bytes) -> None:
    with pytest.raises(PeerMisbehaved) as refused:
        decode_error(value)
    assert str(refused.value).isprintable()


def test_another_protocol_version_is_refused_with_both_numbers() -> None:
    assert decode_version(b"1") == 1
    with pytest.raises(DescriptorRefused, match=r"is '2', this device model speaks 1"):
        decode_version(b"2")


def test_carriers_are_a_closed_set() -> None:
    assert [decode_carrier(c.value.encode()) for c in Carrier] == list(Carrier)
    with pytest.raises(DescriptorRefused, match="xenstore, memory, cmdline"):
        decode_carrier(b"pigeon")


@given(st.integers(0, GPA_LIMIT - 1))
def test_addresses_come_back_as_they_were_written(at: int) -> None:
    assert decode_gpa(encode_gpa(Gpa(at))) == at


@pytest.mark.parametrize(
    "value", [b"", b"2097152", b"0x", b"0X10", b"0xA", b"0x010", b"0x10000000000000", b"-0x1"]
)
def test_addresses_of_any_other_form_are_refused(value: bytes) -> None:
    with pytest.raises(DescriptorRefused, match="frame-gpa"):
        decode_gpa(value)


def test_sizes_are_bounded_by_the_longest_frame() -> None:
    assert decode_size(encode_size(FRAME_MAX_BYTES)) == FRAME_MAX_BYTES
    for value in (b"0", b"32769", b"0x10", b"01", b"9" * 19, b"9" * 2000):
        with pytest.raises(DescriptorRefused, match="1 to 32768"):
            decode_size(value)


def test_a_peers_bytes_are_shown_short_and_printable() -> None:
    assert shown(b"ab\n") == r"'ab\n'"
    assert shown(b"x" * 100) == "'" + "x" * 60 + "'.. (100 bytes)"
