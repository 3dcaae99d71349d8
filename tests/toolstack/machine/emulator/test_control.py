"""The lines between the toolstack and the emulator's process."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import GIB, Gpa, GpaRange
from handoff.firmware import BiosRom, DirectEntry, Firmware
from handoff.guest_ram import regions_for
from handoff.platforms import memory_map
from toolstack.machine.emulator.control import (
    LINE_MAX_BYTES,
    BadMessage,
    End,
    Failed,
    Log,
    Message,
    Ready,
    Start,
    decode,
    encode,
)
from toolstack.machine.emulator.stop import StopReason

TEXT = st.text(max_size=100)
MESSAGES = st.one_of(
    st.builds(Ready, st.lists(TEXT, max_size=10).map(tuple)),
    st.builds(Log, TEXT),
    st.builds(End, st.sampled_from(StopReason), TEXT),
    st.builds(Failed, TEXT),
)


@pytest.mark.parametrize(
    "firmware",
    [
        None,
        BiosRom(GpaRange(Gpa(0x200000), 0x40000)),
        DirectEntry(Gpa(0x100000), Gpa(0x174000)),
    ],
)
def test_what_a_process_is_started_with_survives_its_command_line(
    firmware: Firmware | None,
) -> None:
    start = Start(
        ram_fd=3,
        console_fd=4,
        control_fd=5,
        ioreq_fd=6,
        parent_pid=77,
        sandbox="auto",
        regions=regions_for(8 * GIB, Gpa(0xF0000000)),
        e820=memory_map(8 * GIB, Gpa(0xF0000000)),
        quiet_cpu_s=1.5,
        firmware=firmware,
    )
    assert Start.from_argument(start.to_argument()) == start


@pytest.mark.parametrize("argument", ["", "{}", "[]", '{"fds": [1]}', "null"])
def test_any_other_argument_is_refused(argument: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        Start.from_argument(argument)


@given(MESSAGES)
def test_a_message_comes_back_from_its_one_line(message: Message) -> None:
    line = encode(message)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line[:-1]) == message


@pytest.mark.parametrize(
    "message",
    [Log("\u20ac" * 100_000), End(StopReason.CRASHED, "\0" * 100_000), Ready(("\0" * 999,) * 999)],
    ids=["log", "end", "ready"],
)
def test_no_message_is_longer_than_the_reader_takes(message: Message) -> None:
    assert len(encode(message)) <= LINE_MAX_BYTES


@given(st.binary(max_size=60))
def test_other_lines_are_bad_messages(line: bytes) -> None:
    with pytest.raises(BadMessage):
        decode(line)


@pytest.mark.parametrize(
    "line",
    [
        b'["end", "EXPLODED", ""]',
        b'["end", "CRASHED"]',
        b'["ready", [1]]',
        b'["log", null]',
        b'{"log": 1}',
        b"[" * 5000,
    ],
)
def test_near_misses_are_bad_messages(line: bytes) -> None:
    with pytest.raises(BadMessage):
        decode(line)
