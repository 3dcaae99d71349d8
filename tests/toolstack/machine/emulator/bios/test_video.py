"""Int 10h text."""

from tests.toolstack.machine.emulator.bios.calls import Caller
from toolstack.machine.emulator.bios.video import TextLog, video_service


def test_teletype_makes_lines() -> None:
    lines: list[str] = []
    text, caller = TextLog(lines.append), Caller()
    for character in b"Boot\x07ing\r\n\nnow":
        caller.call(lambda call: video_service(call, text), eax=0x0E00 | character)
    assert lines == ["Booting"]
    text.flush()
    assert lines == ["Booting", "now"]


def test_a_line_without_end_is_cut() -> None:
    lines: list[str] = []
    text = TextLog(lines.append)
    for _ in range(400):
        text.put(ord("x"))
    assert [len(line) for line in lines] == [160, 160]


def test_write_string_takes_text_with_and_without_attributes() -> None:
    lines: list[str] = []
    text, caller = TextLog(lines.append), Caller()
    caller.cpu.write(0x1010, b"plain\n")
    caller.call(lambda call: video_service(call, text), eax=0x1300, ecx=6, es=0x100, ebp=0x10)
    caller.cpu.write(0x1010, b"c\x07o\x07l\x07\n\x07")
    caller.call(lambda call: video_service(call, text), eax=0x1302, ecx=4, es=0x100, ebp=0x10)
    assert lines == ["plain", "col"]


def test_repeated_characters_are_bounded() -> None:
    lines: list[str] = []
    text, caller = TextLog(lines.append), Caller()
    caller.call(lambda call: video_service(call, text), eax=0x0A00 | ord("-"), ecx=0xFFFF)
    assert sum(map(len, lines)) <= 2000


def test_the_mode_is_80_by_25_text() -> None:
    text, caller = TextLog(lambda _line: None), Caller()
    caller.call(lambda call: video_service(call, text), eax=0x0F00, ebx=0xFFFF)
    assert (caller.get("ax"), caller.get("bh")) == (80 << 8 | 3, 0)
    caller.call(lambda call: video_service(call, text), eax=0x0300)
    assert (caller.get("cx"), caller.get("dx")) == (0x0607, 0)
