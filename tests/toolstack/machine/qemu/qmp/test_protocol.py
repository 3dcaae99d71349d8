from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolstack.machine.qemu.qmp.protocol import (
    Event,
    Greeting,
    Message,
    QmpConversation,
    QmpViolation,
    Refusal,
    Success,
)

GREETING = (
    b'{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, '
    b'"package": "Debian 1:7.2"}, "capabilities": ["oob"]}}\r\n'
)
"""As QEMU 7.2 sends it."""


def opened() -> QmpConversation:
    conversation = QmpConversation()
    assert conversation.receive(GREETING) == (Greeting("7.2.22"),)
    return conversation


def test_command_is_one_line_with_its_id() -> None:
    number, request = opened().command("stop", {"why": "a\nb"})
    assert request.count(b"\n") == 1
    assert request.endswith(b"\n")
    assert json.loads(request) == {"execute": "stop", "id": number, "arguments": {"why": "a\nb"}}


def test_command_without_arguments_sends_none() -> None:
    _, request = opened().command("cont")
    assert "arguments" not in json.loads(request)


def test_replies_find_their_commands_in_any_order() -> None:
    conversation = opened()
    first, _ = conversation.command("a")
    second, _ = conversation.command("b")
    assert conversation.receive(
        b'{"return": {"x": 1}, "id": %d}\n' % second
        + b'{"error": {"class": "GenericError", "desc": "no"}, "id": %d}\n' % first
    ) == (Success(second, {"x": 1}), Refusal(first, "GenericError", "no"))


def test_event_needs_no_data() -> None:
    assert opened().receive(b'{"event": "STOP", "timestamp": {"seconds": 1}}\n') == (
        Event("STOP", {}),
    )


CONVERSATION = (
    GREETING
    + b'{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}\r\n'
    + b'{"return": {}, "id": 1}\n'
)
MESSAGES: tuple[Message, ...] = (
    Greeting("7.2.22"),
    Event("SHUTDOWN", {"guest": True, "reason": "guest-reset"}),
    Success(1, {}),
)


@pytest.mark.parametrize("step", [len(CONVERSATION), 1, 7], ids=["whole", "by byte", "by seven"])
def test_pieces_do_not_matter(step: int) -> None:
    conversation = QmpConversation()
    conversation.command("cont")
    received: list[Message] = []
    for at in range(0, len(CONVERSATION), step):
        received += conversation.receive(CONVERSATION[at : at + step])
    assert tuple(received) == MESSAGES


def test_unfinished_line_waits() -> None:
    conversation = opened()
    assert conversation.receive(b'{"event": "ST') == ()
    assert conversation.receive(b'OP"}\n{"ev') == (Event("STOP", {}),)


@pytest.mark.parametrize(
    "line",
    [
        b"hello",
        b"[]",
        b'{"QMP": {}}',
        b'{"return": {}}',
        b'{"return": {}, "id": 2}',
        b'{"return": {}, "id": true}',
        b'{"return": {}, "id": "1"}',
        b'{"error": "no", "id": 1}',
        b'{"error": {"class": "GenericError"}, "id": 1}',
        b'{"event": 1}',
        b'{"event": "STOP", "data": []}',
        b"[" * 60_000,
        b'{"id": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
    ],
)
def test_what_no_server_sends_is_a_violation(line: bytes) -> None:
    conversation = opened()
    conversation.command("a")
    with pytest.raises(QmpViolation):
        conversation.receive(line + b"\n")


def test_reply_comes_once() -> None:
    conversation = opened()
    conversation.command("a")
    with pytest.raises(QmpViolation, match="a reply to no open command"):
        conversation.receive(b'{"return": {}, "id": 1}\n' * 2)


@pytest.mark.parametrize("line", [b"{}", b'{"QMP": {"version": {"qemu": {"major": "7"}}}}'])
def test_first_message_is_a_greeting(line: bytes) -> None:
    with pytest.raises(QmpViolation, match="not a QMP greeting"):
        QmpConversation().receive(line + b"\n")


@pytest.mark.parametrize("ended", [b"", b"\n"], ids=["unfinished", "whole"])
def test_line_is_bounded(ended: bytes) -> None:
    conversation = QmpConversation(line_max_bytes=100)
    with pytest.raises(QmpViolation, match="a line of more than 100 bytes"):
        conversation.receive(b" " * 101 + ended)


def test_violation_ends_the_conversation() -> None:
    conversation = QmpConversation()
    with pytest.raises(QmpViolation):
        conversation.receive(b"hello\n")
    with pytest.raises(QmpViolation, match="over since an earlier violation"):
        conversation.receive(GREETING)


def test_violation_shows_printable_text() -> None:
    with pytest.raises(QmpViolation) as caught:
        opened().receive(b"\x1b[2J\xff" + b"x" * 1000 + b"\n")
    assert len(str(caught.value)) < 200
    assert str(caught.value).isascii()


@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_messages_or_a_violation(received: bytes, after_greeting: bool) -> None:
    conversation = opened() if after_greeting else QmpConversation()
    try:
        messages = conversation.receive(received)
    except QmpViolation:
        return
    assert all(isinstance(message, Message) for message in messages)
