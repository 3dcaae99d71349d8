"""Progress as text: what a person reads, and what a file or a pipe gets."""

from __future__ import annotations

import io
import os
import pty
import re
from collections.abc import Callable, Iterator

import pytest

from handoff.addresses import MIB
from handoff.descriptor import Role
from handoff.errors import GuestTimeout
from tests.builders import poisoned_guest
from tests.toolstack.scripted_device_model import REPORT
from toolstack.terminal import TextProgress

Terminal = tuple[io.TextIOWrapper, Callable[[], str]]


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    """A stream that is a terminal, and what has come out of it."""
    master, slave = pty.openpty()
    os.set_blocking(master, False)

    def shown() -> str:
        out = b""
        try:
            while data := os.read(master, 65536):
                out += data
        except BlockingIOError:
            pass
        return out.decode().replace("\r\n", "\n")

    with open(slave, "w", encoding="utf-8") as stream:
        yield stream, shown
    os.close(master)


def test_a_stage_is_one_aligned_line() -> None:
    stream = io.StringIO()
    progress = TextProgress(stream)
    progress.stage("toolstack", "created", 'guest "a" is domain 1')
    progress.stage("device model", "discovered")
    progress.stage("machine", "powered off")
    lines = [re.sub(r"^ +\d+\.\d{3} s", "T", line) for line in stream.getvalue().splitlines()]
    assert lines == [
        'T  toolstack     created     guest "a" is domain 1',
        "T  device model  discovered",
        "T  machine       powered off",
    ]


def test_a_file_gets_no_colour_and_a_terminal_does(terminal: Terminal) -> None:
    stream, shown = terminal
    plain = io.StringIO()
    for out in (stream, plain):
        TextProgress(out).failed(GuestTimeout("it hangs"))
    assert plain.getvalue() == "toolstack: error: it hangs\n"
    assert "\x1b[31mtoolstack: error: \x1b[0mit hangs\n" in shown()


def test_a_bar_grows_on_a_terminal_while_a_large_image_loads(terminal: Terminal) -> None:
    stream, shown = terminal
    progress = TextProgress(stream)
    total = 200 * MIB
    for done in range(0, total + 1, MIB):
        progress.loading(Role.RAMDISK, done, total)
    bars = shown().split("\r")
    percents = [int(found[1]) for bar in bars if (found := re.search(r"(\d+) % of 200 MiB", bar))]
    assert percents == list(range(101))
    assert [bar.count("#") for bar in bars if "50 %" in bar] == [15]
    # Nothing of it stays.
    assert bars[-1] == "\033[K"


def test_a_line_that_comes_while_a_bar_is_shown_takes_its_place(terminal: Terminal) -> None:
    stream, shown = terminal
    progress = TextProgress(stream)
    progress.loading(Role.KERNEL, 50 * MIB, 100 * MIB)
    progress.warning("mind")
    assert "\r\033[K" in shown().partition("mind")[0].rpartition("100 MiB")[2]
    progress.loading(Role.KERNEL, 100 * MIB, 100 * MIB)
    shown()
    progress.warning("mind")
    assert "\r\033[K" not in shown()


def test_there_is_no_bar_for_small_images_in_files_or_when_quiet(terminal: Terminal) -> None:
    stream, shown = terminal
    TextProgress(stream).loading(Role.KERNEL, 5 * MIB, 10 * MIB)
    TextProgress(stream, quiet=True).loading(Role.KERNEL, 50 * MIB, 100 * MIB)
    plain = io.StringIO()
    TextProgress(plain).loading(Role.KERNEL, 50 * MIB, 100 * MIB)
    stream.flush()
    assert (shown(), plain.getvalue()) == ("", "")


def _everything(progress: TextProgress) -> None:
    with poisoned_guest() as guest:
        image = guest.stage(Role.KERNEL, b"content", 0x1000000)
        progress.published(guest.descriptor([image]), b"frame")
    progress.stage("toolstack", "published")
    progress.placed(REPORT, ())
    progress.log("device model", "a log line")
    progress.warning("a warning")
    progress.failed(GuestTimeout("an error"))


@pytest.mark.parametrize(
    ("options", "shown", "hidden"),
    [
        ({}, {"published", "move kernel", "a warning", "an error"}, {"a log line", "as the"}),
        ({"verbose": True}, {"[device model] a log line"}, {"as the"}),
        ({"quiet": True}, {"a warning", "an error"}, {"published", "move", "a log line"}),
        (
            {"maps": True},
            {"as the toolstack leaves it", "as the device model leaves it (linux, real mode)"},
            {"a log line"},
        ),
        ({"maps": True, "quiet": True}, {"an error"}, {"leaves it"}),
    ],
    ids=str,
)
def test_options_choose_what_is_shown(
    options: dict[str, bool], shown: set[str], hidden: set[str]
) -> None:
    stream = io.StringIO()
    _everything(TextProgress(stream, **options))
    text = stream.getvalue()
    assert {word for word in shown if word not in text} == set()
    assert {word for word in hidden if word in text} == set()


def test_moves_and_maps_are_golden() -> None:
    stream = io.StringIO()
    TextProgress(stream, maps=True).placed(REPORT, ())
    assert stream.getvalue() == (
        "                           move kernel: 0x300000 -> [0x200000, 0x201000)\n"
        "  guest memory, as the device model leaves it (linux, real mode)\n"
        "  0x200000-0x201000     4 KiB  in place  kernel  relocatable\n"
    )


def test_a_reader_that_hung_up_stops_nothing() -> None:
    class HungUp(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def isatty(self) -> bool:
            return True

    progress = TextProgress(HungUp(), verbose=True, maps=True)
    _everything(progress)
    progress.loading(Role.KERNEL, 50 * MIB, 100 * MIB)
